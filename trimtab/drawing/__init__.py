"""What pages of Trimtab are drawn with: sections as HTML and Markdown, plots as SVG, pictures as PNG; no browser is needed."""
