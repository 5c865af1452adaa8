"""Files of strangers, changed at random: reading one gives a result or one error in words, soon and in little memory.

``make fuzz`` goes on for as long as asked; some seconds of it run with the tests. What once went wrong is kept in
``corpus/TARGET/`` and read again each time.
"""
