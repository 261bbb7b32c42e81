"""What attention moves, exactly, out of a running model.

``capture`` gets hold of attention, ``tracing`` sees what the model does with it, ``contributions`` measures it, ``frozen``
holds the model fixed so that it is linear, and ``feedforward`` follows contributions through the rest of a layer.
"""
