"""The face mesh, its file formats, and the HTML page that shows it."""
