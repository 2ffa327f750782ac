"""Walk the autograd graph of a pass that ran, and go back through it by other rules than the gradient's.

The forward pass stays as it was: a rule changes what a node of the graph passes back, through a hook that is gone
again afterwards. So it works for any module, with the kernels that the module chose, and one pass serves every rule.
"""
