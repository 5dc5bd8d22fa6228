"""Hostile model files and their benign near-misses, made by script; nothing binary is kept.

There are three groups. ``cases.CASES`` are hostile: each is shown to do harm. ``cases.UNFIT`` do none and are refused
all the same, with the place of what is wrong: a file that is damaged, a package without its outputs, noise under the
name of a model, values that Keras takes in no mode. ``cases.BENIGN`` are to pass. Each file is made from a seed, which
renames, moves and rotates what can be renamed, moved and rotated, so that no rule is written against one spelling. A
payload only touches a marker file. ``biting`` shows that a file does its harm to the loaders of ``trusting``, which
take it as it comes, and ``twins`` that it is the file which does it; ``inspecting`` measures what the inspection says
of it, and in what time and memory.
"""
