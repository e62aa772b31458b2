"""Pages that open from disk: style, pieces of HTML and charts, without any external resource."""
