"""Networks that remove noise from crops of faces: the five methods of table 1 of the GCN-IGAN paper.

The paper names the methods without further detail; each module here says which publication its network follows.
"""
