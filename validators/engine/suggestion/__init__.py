"""Propose a suite for a data set out of one profile of it: what holds on 80 % of the rows and on the other 20 %.

::

    job          the runner: profile, propose, try, tell
    profile      DuckDB reads the table: exact counts and extremes of every column, and a sample of rows
    statistics   Wilson's bound, bounds of quantiles and means, how far a tail may reach
    candidate    a rule that is proposed, with its evidence and the way to try it
    numbers, moments, categories, texts, missing   rules about one column
    pairs, keys, order, shape                      rules about several columns, the rows and the table
    trial        every proposed rule on the rows that it was not made from
"""
