"""One file into one object: taken up, stored, proved, released; and what is known of each file on the way."""
