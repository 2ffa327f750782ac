"""What `jumok inspect` tells of a data set of images: remarks, a report, and a contact sheet."""
