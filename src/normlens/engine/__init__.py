"""What attention moves, exactly, out of a running model.

``capture`` captures attention, ``tracing`` follows what the model does with it, ``contributions`` measures it, ``frozen``
freezes the model so that it is affine, and ``feedforward`` follows contributions through the rest of a layer.
"""
