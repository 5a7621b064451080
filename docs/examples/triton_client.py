"""Labels a portrait on a server, NVIDIA's Triton or `segface-edge serve` (pip install 'tritonclient[http]'):
python docs/examples/triton_client.py portrait.jpg localhost:8000 MODEL mask.png"""

import sys

import tritonclient.http as triton

from segface_edge import label_set
from segface_edge.pictures import fitting, reading
from segface_edge.pictures.label_maps import indexed
from segface_edge.pictures.restoring import restore

source, address, model, target = sys.argv[1:]
photo = reading.load(source)
with triton.InferenceServerClient(address) as client:
    # -1 or the number of frames, then side, side, 3: how many pixels the model is to be shown.
    side = int(client.get_model_metadata(model)["inputs"][0]["shape"][1])
    square = fitting.fit(photo, side)
    frames = triton.InferInput("frames", [1, side, side, 3], "UINT8")
    frames.set_data_from_numpy(square.pixels[None])
    labels = client.infer(model, [frames]).as_numpy("labels")[0]
height, width = photo.shape[:2]
indexed(restore(labels, square.geometry, height, width), label_set("segface").palette).save(target)
