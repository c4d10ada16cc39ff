// A video with skeletons over it, exact to the frame.
//
// A frame is known by its presentation time: requestVideoFrameCallback tells that of the image on
// the screen. Where a browser lacks it, the time of the playhead at each repaint stands for it. A
// seek goes well into a frame's time, so that rounding leads to no other one.
"use strict";

(() => {
  const app = (window.skelact ??= {});
  // As in the overlay of `skelact predict`: joints of a lower score are not drawn.
  const LEAST_SCORE = 0.3;
  // After a seek the image comes to the screen within this time; none comes where the video is out
  // of sight.
  const PAINT_MILLISECONDS = 1000;
  // Where in a frame's time a seek ends. Late: in a file of uneven frames that are stored out of their
  // order the declared end of the frame before may lie behind the middle, and Chromium shows that one.
  const SEEK_TO = 0.75;
  const KNOWS_SCREEN = "requestVideoFrameCallback" in HTMLVideoElement.prototype;

  class Player {
    constructor(report, video, canvas, onFrame) {
      this.report = report;
      this.video = video;
      this.canvas = canvas;
      this.onFrame = onFrame;
      this.frame = 0;
      // Frame of the image on the screen, the one that the video is on its way to, and the one that
      // it goes to after that. A seek ends before its image is on the screen.
      this.onScreen = null;
      this.wanted = null;
      this.next = null;
      this.isSeeking = false;
      this.range = null;
      this.showsSkeletons = true;
      this.chosen = 0;
      this.waiting = [];
      this.stopped = new AbortController();
      const on = (target, kind, act) => target.addEventListener(kind, act, { signal: this.stopped.signal });
      on(video, "loadedmetadata", () => this.next !== null && this.goOn());
      on(video, "loadeddata", () => this.wanted === null && this.show(this.frameNow()));
      on(video, "emptied", () => this.emptied());
      on(video, "seeked", () => this.seeked());
      on(video, "pause", () => this.paused());
      on(video, "ended", () => this.ended());
      this.resized = new ResizeObserver(() => this.draw());
      this.resized.observe(canvas);
      this.watch();
    }

    async open() {
      const { file, width, height } = this.report.index.video;
      this.canvas.parentElement.style.setProperty("--aspect", `${width} / ${height}`);
      this.canvas.parentElement.style.setProperty("--ratio", width / height);
      this.video.src = await this.report.files.video(file);
    }

    close() {
      this.stopped.abort();
      clearTimeout(this.painting);
      this.resized.disconnect();
      this.video.pause();
      this.video.removeAttribute("src");
      this.video.load();
    }

    // Takes another source of the same video, at the same frame.
    async replace(url) {
      const frame = this.frame;
      this.video.src = url;
      await new Promise((resolve, reject) => {
        this.video.addEventListener("loadeddata", resolve, { once: true });
        this.video.addEventListener("error", () => reject(new Error("the file is no video")), { once: true });
      });
      this.goTo(frame);
      await this.arrived();
    }

    // Waits until the frame that was asked for is on the screen: its number, skeletons and image agree.
    async arrived() {
      while (this.wanted !== null || this.next !== null) {
        await new Promise((resolve) => this.waiting.push(resolve));
      }
    }

    frameNow() {
      return this.report.frameAt(this.video.currentTime);
    }

    watch() {
      const isOver = () => this.stopped.signal.aborted;
      if (KNOWS_SCREEN) {
        const presented = (_, { mediaTime }) => {
          if (isOver()) return;
          this.onScreen = this.report.frameAt(mediaTime);
          // While it plays, the first image after a seek may be a later one.
          if (this.wanted === null) this.show(this.onScreen);
          else if (!this.isSeeking && (this.wanted === this.onScreen || this.isPlaying)) this.arrive();
          this.video.requestVideoFrameCallback(presented);
        };
        this.video.requestVideoFrameCallback(presented);
      } else {
        const repaint = () => {
          if (isOver()) return;
          if (!this.video.paused && this.wanted === null) this.show(this.frameNow());
          requestAnimationFrame(repaint);
        };
        requestAnimationFrame(repaint);
      }
    }

    show(frame) {
      if (this.range && !this.video.paused && (frame >= this.range[1] || frame < this.range[0])) {
        this.goTo(this.range[0]);
        return;
      }
      this.frame = frame;
      this.draw();
      this.onFrame(frame);
    }

    emptied() {
      clearTimeout(this.painting);
      this.onScreen = this.wanted = null;
      this.isSeeking = false;
      this.release();
    }

    seeked() {
      this.isSeeking = false;
      if (this.next !== null) this.goOn();
      else if (this.wanted === null) return;
      else if (!KNOWS_SCREEN || this.onScreen === this.wanted) this.arrive();
      else this.painting = setTimeout(() => this.arrive(), PAINT_MILLISECONDS);
    }

    arrive() {
      clearTimeout(this.painting);
      const frame = this.isPlaying ? this.onScreen ?? this.wanted : this.wanted;
      this.wanted = null;
      this.show(frame);
      this.release();
    }

    release() {
      this.waiting.splice(0).forEach((resolve) => resolve());
    }

    goOn() {
      const next = this.next;
      this.next = null;
      this.goTo(next);
    }

    // Seeks are made one after the other: the last one that was asked for is the one that counts.
    // Not `video.seeking`: it ends before the event that tells so. All but the skeletons show the
    // frame at once; these stay with their image.
    goTo(frame) {
      const target = Math.min(Math.max(frame, 0), this.report.numFrames - 1);
      this.onFrame(target);
      if (this.isSeeking || this.video.readyState < HTMLMediaElement.HAVE_METADATA) {
        this.next = target;
        return;
      }
      clearTimeout(this.painting);
      this.wanted = target;
      this.isSeeking = true;
      this.video.currentTime = this.report.videoSeconds[target] + SEEK_TO * this.report.shownSeconds(target);
    }

    // Steps count from the frame that was asked for last.
    step(count) {
      this.pause();
      this.goTo((this.next ?? this.wanted ?? this.frame) + count);
    }

    get isPlaying() {
      return !this.video.paused;
    }

    async play() {
      const end = this.range ? this.range[1] : this.report.numFrames;
      if (this.frame >= end - 1 || (this.range && this.frame < this.range[0])) this.goTo(this.range?.[0] ?? 0);
      try {
        await this.video.play();
      } catch (error) {
        // A pause before it began.
        if (error.name !== "AbortError") throw error;
      }
    }

    pause() {
      this.video.pause();
    }

    // By the playhead alone it is not known which image was the last one.
    paused() {
      if (!KNOWS_SCREEN && this.wanted === null && !this.video.ended) this.goTo(this.frameNow());
    }

    ended() {
      if (this.range) {
        this.goTo(this.range[0]);
        this.video.play();
      } else {
        this.onFrame(this.frame);
      }
    }

    draw() {
      const { canvas } = this;
      const ratio = window.devicePixelRatio || 1;
      const width = Math.round(canvas.clientWidth * ratio);
      const height = Math.round(canvas.clientHeight * ratio);
      if (!width || !height) return;
      if (canvas.width !== width || canvas.height !== height) {
        canvas.width = width;
        canvas.height = height;
      }
      const context = canvas.getContext("2d");
      context.clearRect(0, 0, width, height);
      if (this.showsSkeletons) this.drawPeople(context, width);
    }

    // Draws the people of the frame on a image of this width.
    drawPeople(context, width) {
      const scale = width / this.report.index.video.width;
      const unit = Math.max(width / 640, 1);
      // The chosen person last, on top.
      const people = [...Array(this.report.numPeople).keys()].filter((person) => person !== this.chosen);
      for (const person of [...people.reverse(), this.chosen]) {
        if (person < this.report.numPeople) this.drawPerson(context, person, scale, unit);
      }
    }

    drawPerson(context, person, scale, unit) {
      const pose = this.report.pose(person, this.frame);
      if (!pose || !this.report.isSeen(person, this.frame)) return;
      const thickness = unit * (person === this.chosen ? 2.5 : 1.5);
      const lines = new Path2D();
      for (const [from, to] of this.report.index.edges) {
        const [a, b] = [pose(from), pose(to)];
        if (a.score < LEAST_SCORE || b.score < LEAST_SCORE) continue;
        lines.moveTo(a.x * scale, a.y * scale);
        lines.lineTo(b.x * scale, b.y * scale);
      }
      const joints = new Path2D();
      for (let joint = 0; joint < this.report.numKeypoints; joint += 1) {
        const { x, y, score } = pose(joint);
        if (score < LEAST_SCORE) continue;
        joints.moveTo(x * scale, y * scale);
        joints.arc(x * scale, y * scale, thickness, 0, 2 * Math.PI);
      }
      const [left, top, right, bottom] = this.report.box(person, this.frame);
      const box = new Path2D();
      box.rect(left * scale, top * scale, (right - left) * scale, (bottom - top) * scale);
      const color = app.color(`--on-video-${person % 7}`);
      context.lineCap = "round";
      // A dark edge makes the colour visible on any image.
      context.strokeStyle = "rgba(0, 0, 0, 0.65)";
      context.lineWidth = thickness + 2 * unit;
      context.stroke(lines);
      context.strokeStyle = color;
      context.lineWidth = thickness;
      context.stroke(lines);
      context.fillStyle = color;
      context.fill(joints);
      context.lineWidth = unit;
      context.globalAlpha = 0.7;
      context.stroke(box);
      context.globalAlpha = 1;
      this.drawName(context, person, left * scale, top * scale, unit, color);
    }

    drawName(context, person, x, y, unit, color) {
      const text = String(person + 1);
      const size = 12 * unit;
      context.font = `600 ${size}px system-ui, sans-serif`;
      const width = context.measureText(text).width + 8 * unit;
      const top = Math.max(y - size - 4 * unit, 0);
      context.fillStyle = color;
      context.fillRect(x, top, width, size + 4 * unit);
      context.fillStyle = "#000";
      context.textBaseline = "middle";
      context.fillText(text, x + 4 * unit, top + size / 2 + 2.5 * unit);
    }

    // Who is at a place of the canvas, in pixels of the page: the smallest box there.
    personAt(x, y) {
      const scale = this.report.index.video.width / this.canvas.clientWidth;
      let best = null;
      let least = Infinity;
      for (let person = 0; person < this.report.numPeople; person += 1) {
        const box = this.report.isSeen(person, this.frame) && this.report.box(person, this.frame);
        if (!box) continue;
        const inside = box[0] <= x * scale && x * scale <= box[2] && box[1] <= y * scale && y * scale <= box[3];
        const area = (box[2] - box[0]) * (box[3] - box[1]);
        if (inside && area < least) [best, least] = [person, area];
      }
      return best;
    }
  }

  app.Player = Player;
})();
