"""Networks as ONNX graphs, for programs that run those, and for ONNX Runtime and OpenVINO on this machine.

The graphs are our own, though Keras can export a model: ``keras.Model.export`` writes ONNX with the help of
tf2onnx, which is one more large dependency, and its OpenVINO export (Keras 3.15.1 on TensorFlow 2.21, nine
networks tried) failed for SegNet, whose layers are ours, gave probabilities that were off by 0.1 for scSE
U-Net, and took 3 to 7 s for each network, too long for a first click.
"""
