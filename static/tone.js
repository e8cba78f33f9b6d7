// The sound of being called: two short notes, made here, without a file.

const NOTES_HZ = [659.26, 880];
const NOTE_SECONDS = 0.12;
const RING_SECONDS = 0.35;
const LOUDNESS = 0.12;
/** A browser that lets no sound out before the page is touched may not say so. */
const RESUME_WAIT_MS = 300;

/** @type {?AudioContext} */ let context = null;
let resting;

/** Resolves when it has been started, or cannot be. */
export async function playTone() {
  try {
    context ??= new AudioContext();
    if (context.state !== 'running') await Promise.race([context.resume(), new Promise((resolve) => { setTimeout(resolve, RESUME_WAIT_MS); })]);
    if (context.state !== 'running') return; // it would come out much later
    NOTES_HZ.forEach((hertz, index) => note(hertz, context.currentTime + index * NOTE_SECONDS));
    clearTimeout(resting);
    resting = setTimeout(() => context.suspend(), 2_000); // the loudspeaker is not kept awake
  } catch { /* there is no sound here */ }
}

function note(hertz, from) {
  const oscillator = context.createOscillator();
  const gain = context.createGain();
  oscillator.frequency.value = hertz;
  gain.gain.setValueAtTime(0, from);
  gain.gain.linearRampToValueAtTime(LOUDNESS, from + 0.01);
  gain.gain.exponentialRampToValueAtTime(0.001, from + RING_SECONDS);
  oscillator.connect(gain).connect(context.destination);
  oscillator.start(from);
  oscillator.stop(from + RING_SECONDS);
}
