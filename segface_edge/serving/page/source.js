// Where pictures come from: a camera, a video file, a photo.

/** What a user can do something about: a title, and the cure. */
export class Problem extends Error {
  constructor(title, cure) {
    super(cure);
    this.title = title;
  }
}

const VIDEO = {audio: false, video: {width: {ideal: 1280}, height: {ideal: 720}, frameRate: {ideal: 30}}};

/** Pictures of one kind (camera, video, photo); `picture` can be drawn, `live` ones change by themselves. */
class Source {
  constructor(kind, picture, name, end) {
    Object.assign(this, {kind, picture, name, end});
    this.live = kind !== "photo";
  }

  get width() {
    return this.picture.videoWidth ?? this.picture.width;
  }

  get height() {
    return this.picture.videoHeight ?? this.picture.height;
  }

  /** A video stops, and goes on; a camera cannot. */
  hold(still) {
    if (this.kind !== "video") return;
    if (still) this.picture.pause();
    else this.picture.play().catch(() => {}); // ended meanwhile
  }

  /** Calls `seen` for each new picture, until the source ends. */
  watch(seen) {
    const {picture} = this;
    if (!this.live) return;
    if ("requestVideoFrameCallback" in picture) {
      const next = () => picture.requestVideoFrameCallback(() => (seen(), next()));
      next();
    } else {
      let last = -1;
      const look = () => {
        if (picture.currentTime !== last) seen();
        last = picture.currentTime;
        if (picture.src || picture.srcObject) requestAnimationFrame(look);
      };
      look();
    }
  }
}

/** The camera `id`, or the browser's own choice. Raises Problem. */
export async function openCamera(id) {
  if (!navigator.mediaDevices) {
    const port = location.port || "80";
    throw new Problem(
      "No camera over plain http",
      "Browsers give a page the camera only where it comes from this machine or over https. Open it as " +
        `http://localhost:${port} (from another machine through a tunnel: ssh -L ${port}:localhost:${port} ` +
        `${location.hostname}), or put https in front of the server. Photos and videos work as it is.`,
    );
  }
  let stream;
  try {
    const video = id ? {...VIDEO.video, deviceId: {exact: id}} : {...VIDEO.video, facingMode: "user"};
    stream = await navigator.mediaDevices.getUserMedia({...VIDEO, video});
  } catch (error) {
    throw cameraProblem(error);
  }
  const [track] = stream.getVideoTracks();
  const stop = () => stream.getTracks().forEach((one) => one.stop());
  const source = await play("camera", (video) => (video.srcObject = stream), track.label, stop);
  source.back = track.getSettings().facingMode === "environment";
  source.id = track.getSettings().deviceId;
  track.onended = () => source.lost?.();
  return source;
}

function cameraProblem(error) {
  switch (error.name) {
    case "NotAllowedError":
    case "SecurityError":
      return new Problem(
        "The camera is not allowed",
        "Allow it for this page: click the camera or the lock beside the address, choose Allow, then try again. " +
          "The system's own privacy settings can forbid it too.",
      );
    case "NotFoundError":
    case "OverconstrainedError":
      return new Problem("No camera found", "Connect one and try again, or use a photo or a video.");
    case "NotReadableError":
    case "AbortError":
      return new Problem("The camera is in use", "Another program has it: close that one, then try again.");
    default:
      return new Problem("The camera does not start", `${error.message || error.name}. Try again, or use a photo.`);
  }
}

/** Cameras that there are, by name; without permission they have none. */
export async function cameras() {
  const devices = (await navigator.mediaDevices?.enumerateDevices()) ?? [];
  return devices.filter((one) => one.kind === "videoinput" && one.deviceId);
}

/** A photo or a video file. Raises Problem. */
export async function openFile(file) {
  if (file.type.startsWith("video/")) {
    const address = URL.createObjectURL(file);
    return play("video", (video) => (video.src = address), file.name, () => URL.revokeObjectURL(address));
  }
  try {
    return new Source("photo", await createImageBitmap(file), file.name, () => {});
  } catch {
    throw new Problem(
      "This file cannot be shown",
      `${file.name || "It"} is no picture or video that this browser reads. JPEG, PNG and WebP work everywhere; ` +
        "of others, HEIC for example, save a copy as JPEG.",
    );
  }
}

async function play(kind, load, name, close) {
  const video = document.createElement("video");
  Object.assign(video, {muted: true, loop: true, playsInline: true});
  load(video);
  const source = new Source(kind, video, name, () => {
    video.pause();
    video.removeAttribute("src");
    video.srcObject = null;
    close();
  });
  try {
    await video.play();
  } catch {
    source.end();
    if (kind === "camera") throw new Problem("The camera does not start", "Try again, or use a photo.");
    throw new Problem(
      "This video cannot be played",
      `${name} is in a form that this browser does not know. MP4 with H.264, and WebM, play everywhere.`,
    );
  }
  return source;
}
