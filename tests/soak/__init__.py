"""What a stored run is put through for as long as asked: ``make soak``, and for some seconds with the tests.

Each attack is tried again and again, by a seed that is printed; what came of every try is counted in one table. A try
ends well if nothing happened to the run, or if whoever reads it is told; never in silence, never with an input lost,
doubled or different, never with a traceback, and never with something executed that came out of a file.
"""
