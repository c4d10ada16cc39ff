// The data of reports: an index first, then chunks of frames as they are needed.
//
// A report is read from where this page lies, by script tags, which work from the disk and from a
// server alike; or from files that the user has chosen. Both are the text
// `skelactData(name, values);`. What reads one has `read(name)`, which gives the values, and
// `video(name)`, which gives an address.
"use strict";

(() => {
  const app = (window.skelact ??= {});
  const waiting = new Map();

  // Called by the scripts in data/.
  window.skelactData = (name, values) => waiting.get(name)?.(values);

  class ScriptFiles {
    read(name) {
      return new Promise((resolve, reject) => {
        const script = document.createElement("script");
        const end = () => {
          waiting.delete(name);
          script.remove();
        };
        waiting.set(name, (values) => {
          end();
          resolve(values);
        });
        script.onerror = () => {
          end();
          reject(new Error(`data/${name}.js cannot be read: the folder of this report is not whole`));
        };
        script.src = `data/${name}.js`;
        document.head.append(script);
      });
    }

    async video(name) {
      return name;
    }
  }

  class ChosenFiles {
    constructor(files) {
      // By their place below the folder that was chosen.
      this.files = new Map(
        files.map((file) => [file.webkitRelativePath.split("/").slice(1).join("/") || file.name, file]),
      );
    }

    async read(name) {
      const file = this.files.get(`data/${name}.js`);
      if (!file) throw new Error("this is not the folder of a report of one clip: it has no data/index.js");
      return app.parseData(name, await file.text());
    }

    async video(name) {
      const file = this.files.get(name);
      if (!file) throw new Error(`the folder has no ${name}`);
      return URL.createObjectURL(file);
    }
  }

  // The values of a text, which is read as JSON and never run.
  app.parseData = (name, text) => {
    const start = `skelactData(${JSON.stringify(name)},`;
    if (!text.startsWith(start)) throw new Error(`data/${name}.js is not of a report`);
    return JSON.parse(text.slice(start.length, text.lastIndexOf(")")));
  };

  function decoded(base64, ArrayType) {
    const text = atob(base64);
    const bytes = new Uint8Array(text.length);
    for (let i = 0; i < text.length; i += 1) bytes[i] = text.charCodeAt(i);
    return new ArrayType(bytes.buffer);
  }

  // Times of media are rounded, to a tenth of a millisecond at worst.
  const ROUNDING_SECONDS = 1e-4;

  // Index of the last of increasing numbers that is not greater than a limit; 0 where none is.
  function lastNotAfter(numbers, limit) {
    let low = 0;
    let high = numbers.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (numbers[middle] <= limit) low = middle;
      else high = middle - 1;
    }
    return low;
  }

  // One clip: its index, and its frames by number (0 is the clip's first).
  class Report {
    constructor(files, index) {
      this.files = files;
      this.index = index;
      this.videoSeconds = decoded(index.video_seconds, Float64Array);
      this.seconds = decoded(index.seconds, Float64Array);
      this.frameInds = decoded(index.frame_inds, Int32Array);
      this.numFrames = this.seconds.length;
      this.numPeople = index.people.length;
      this.numKeypoints = index.keypoint_names.length;
      this.chunks = new Map();
      this.onChunk = () => {};
    }

    // The frame that is shown at a time of the video, and at a time of the source file.
    frameAt(videoSeconds) {
      return lastNotAfter(this.videoSeconds, videoSeconds + ROUNDING_SECONDS);
    }

    frameOfSeconds(seconds) {
      return lastNotAfter(this.seconds, seconds + ROUNDING_SECONDS);
    }

    // How long a frame is shown, in seconds.
    shownSeconds(frame) {
      if (frame + 1 < this.numFrames) return this.videoSeconds[frame + 1] - this.videoSeconds[frame];
      return 1 / this.index.fps;
    }

    // The chunk of a frame if it is there; else it is fetched, and `onChunk` says when it came.
    chunkOf(frame) {
      const number = Math.floor(frame / this.index.chunk_frames);
      const chunk = this.chunks.get(number);
      if (chunk === undefined) this.load(number);
      return chunk?.keypoints ? chunk : null;
    }

    load(number) {
      const known = this.chunks.get(number);
      if (known) return known.loading ?? Promise.resolve(known);
      const loading = this.files.read(`frames-${String(number).padStart(4, "0")}`).then((values) => {
        const chunk = { start: number * this.index.chunk_frames };
        for (const name of ["keypoints", "keypoint_scores", "bboxes", "curves"]) {
          chunk[name] = decoded(values[name], Float32Array);
        }
        chunk.length = Math.min(this.index.chunk_frames, this.numFrames - chunk.start);
        this.chunks.set(number, chunk);
        this.onChunk(number);
        return chunk;
      });
      this.chunks.set(number, { loading });
      return loading;
    }

    async loadAll() {
      const count = Math.ceil(this.numFrames / this.index.chunk_frames);
      for (let number = 0; number < count; number += 1) await this.load(number);
    }

    // (joint) => {x, y, score} of a person in a frame; null until its chunk is there.
    pose(person, frame) {
      const chunk = this.chunkOf(frame);
      if (!chunk) return null;
      const at = (person * chunk.length + frame - chunk.start) * this.numKeypoints;
      return (joint) => ({
        x: chunk.keypoints[2 * (at + joint)],
        y: chunk.keypoints[2 * (at + joint) + 1],
        score: chunk.keypoint_scores[at + joint],
      });
    }

    box(person, frame) {
      const chunk = this.chunkOf(frame);
      if (!chunk) return null;
      const at = 4 * (person * chunk.length + frame - chunk.start);
      return chunk.bboxes.subarray(at, at + 4);
    }

    // Degrees; NaN where not known or not there yet.
    curve(person, frame, kind) {
      const chunk = this.chunkOf(frame);
      if (!chunk) return NaN;
      return chunk.curves[(person * chunk.length + frame - chunk.start) * this.index.curves.length + kind];
    }

    isSeen(person, frame) {
      return this.index.people[person].seen.some(([start, stop]) => start <= frame && frame < stop);
    }
  }

  app.openReport = async (files = new ScriptFiles()) => new Report(files, await files.read("index"));
  app.chosenFiles = (chosen) => new ChosenFiles(chosen);
  app.readClips = () => new ScriptFiles().read("clips");
})();
