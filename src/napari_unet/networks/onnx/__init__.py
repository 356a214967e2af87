"""Networks as ONNX graphs, for programs that run those, and for ONNX Runtime and OpenVINO on this machine.

The graphs are our own, though Keras can export a model. ``keras.Model.export`` writes ONNX with the help of
tf2onnx, which is one more large dependency. Its OpenVINO export was tried with nine networks (Keras 3.15.1
on TensorFlow 2.21). It failed for SegNet, whose layers are ours. For scSE U-Net its probabilities were off
by 0.1. It took 3 to 7 s for each network, too long for a first click.
"""
