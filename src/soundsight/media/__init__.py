"""Files and signals: the only package that touches codecs; knows nothing of learning."""
