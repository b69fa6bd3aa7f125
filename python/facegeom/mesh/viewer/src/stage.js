// Camera, lights and canvas. A frame is drawn only after a change.
import {
  Box3,
  DirectionalLight,
  HemisphereLight,
  MathUtils,
  PerspectiveCamera,
  Scene,
  Spherical,
  Vector3,
  WebGLRenderer,
} from "three";
import { OrbitControls } from "three/addons/controls/OrbitControls.js";

const FIELD_OF_VIEW = 26; // degrees, similar to a portrait lens
const MARGIN = 1.18; // view height over model height
const TURN = MathUtils.degToRad(6); // rotation per press of an arrow key
const ZOOM = 0.92; // change of the distance per press of +

export class Stage {
  constructor(canvas) {
    this.canvas = canvas;
    this.renderer = new WebGLRenderer({ canvas, antialias: true, alpha: true });
    this.scene = new Scene();
    this.camera = new PerspectiveCamera(FIELD_OF_VIEW, 1, 0.01, 10);
    this.widest = 1; // width over height of the region that must remain visible
    this.pending = false;

    // The texture already contains the light of the photo. A strong ambient light keeps its colours (intensity pi
    // would show them unchanged); a weaker light from the side makes the shape visible. Both lights move with the
    // camera, so that no side is dark.
    const key = new DirectionalLight("#fffaf2", 1.5);
    key.position.set(-0.6, 0.7, 1);
    this.camera.add(new HemisphereLight("#ffffff", "#cfc6c0", 2.2), key, key.target);
    this.scene.add(this.camera);

    this.controls = new OrbitControls(this.camera, canvas);
    this.controls.enableDamping = !matchMedia("(prefers-reduced-motion: reduce)").matches;
    this.controls.addEventListener("change", () => this.request());
    canvas.addEventListener("webglcontextrestored", () => location.reload()); // the page has freed the blendshapes
    canvas.addEventListener("keydown", (event) => this.onKey(event));
    new ResizeObserver(() => this.resize()).observe(canvas.parentElement);
  }

  // Adds a model to the scene and places the camera in front of it.
  show(object) {
    this.scene.add(object);
    const anisotropy = this.renderer.capabilities.getMaxAnisotropy();
    object.traverse((node) => {
      if (node.material?.map) node.material.map.anisotropy = anisotropy;
    });
    const box = new Box3().setFromObject(object, true); // exact: the loader's box includes all blendshapes
    const size = box.getSize(new Vector3());
    const tall = Math.max(size.y, 1e-6);
    this.widest = Math.max(size.x, size.z) / tall;
    const distance = (MARGIN * tall) / 2 / Math.tan(MathUtils.degToRad(FIELD_OF_VIEW) / 2) + size.z / 2;
    const reach = size.length();
    this.controls.target.copy(box.getCenter(new Vector3()));
    this.camera.position.copy(this.controls.target).add(new Vector3(0, 0, distance));
    this.camera.near = distance / 100;
    this.camera.far = distance * 3 + reach;
    this.controls.minDistance = reach * 0.4;
    this.controls.maxDistance = distance * 3;
    this.controls.saveState();
    this.resize();
  }

  resetView() {
    const { enableDamping } = this.controls;
    this.controls.enableDamping = false; // otherwise a damped rotation would continue after the reset
    this.controls.update();
    this.controls.reset();
    this.controls.enableDamping = enableDamping;
    this.request();
  }

  // Fits the image to the window; a narrow window gets a larger field of view, so that the whole width is visible.
  resize() {
    const { clientWidth: width, clientHeight: height } = this.canvas.parentElement;
    if (!width || !height) return;
    const aspect = width / height;
    const half = Math.tan(MathUtils.degToRad(FIELD_OF_VIEW) / 2) * Math.max(1, this.widest / aspect);
    this.camera.fov = 2 * MathUtils.radToDeg(Math.atan(half));
    this.camera.aspect = aspect;
    this.camera.updateProjectionMatrix();
    this.renderer.setPixelRatio(Math.min(devicePixelRatio, 2));
    this.renderer.setSize(width, height, false);
    this.draw(); // immediately, because setSize clears the canvas
  }

  request() {
    if (this.pending) return;
    this.pending = true;
    requestAnimationFrame(() => {
      this.pending = false;
      this.draw();
    });
  }

  draw() {
    this.controls.update(); // during a damped rotation this emits `change`, which requests the next frame
    this.renderer.render(this.scene, this.camera);
  }

  onKey(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    // Like dragging: the model turns in the direction of the arrow, so the camera moves in the opposite direction.
    const moves = {
      ArrowLeft: () => this.orbit(TURN, 0, 1),
      ArrowRight: () => this.orbit(-TURN, 0, 1),
      ArrowUp: () => this.orbit(0, TURN, 1),
      ArrowDown: () => this.orbit(0, -TURN, 1),
      "+": () => this.orbit(0, 0, ZOOM),
      "=": () => this.orbit(0, 0, ZOOM),
      "-": () => this.orbit(0, 0, 1 / ZOOM),
      Home: () => this.resetView(),
    };
    const move = moves[event.key];
    if (!move) return;
    event.preventDefault();
    move();
  }

  orbit(theta, phi, zoom) {
    const { target, minDistance, maxDistance } = this.controls;
    const place = new Spherical().setFromVector3(this.camera.position.clone().sub(target));
    place.theta += theta;
    place.phi += phi;
    place.radius = MathUtils.clamp(place.radius * zoom, minDistance, maxDistance);
    this.camera.position.setFromSpherical(place.makeSafe()).add(target);
    this.request();
  }
}
