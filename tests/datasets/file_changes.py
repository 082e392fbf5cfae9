"""A change of annotation files in memory, for tests of faulty records."""


def set_at(*keys_and_value):
    """A change of the files: set or, with the value `del`, remove what the keys lead to."""
    *keys, last, value = keys_and_value

    def change(files):
        place = files
        for key in keys:
            place = place[key]
        if value == "del":
            del place[last]
        else:
            place[last] = value

    return change
