"""The face mesh, its file formats, and the HTML page that displays a mesh."""
