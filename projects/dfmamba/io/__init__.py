"""Reading and writing files, once for everybody: numbers in texts, the places where results go."""
