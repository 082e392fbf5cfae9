"""What tools and users call: parts that join data sets, models and evaluation."""
