"""The steps of a deployment and of its way back, one module each.

A step does one thing, knows no other step, and can run twice: a process that
died inside it is followed by one that starts it again. It returns the facts
that later steps and the way back need; they are journalled before the next.
"""
