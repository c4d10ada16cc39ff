"""Networks over skeletons: masked autoencoders and classifiers, free of files and devices."""
