/**
 * Resolves with the reason when this process is asked to stop: by a signal, by its parent being gone where that holds a
 * channel to it, or by npm being gone that runs it. Later requests change nothing.
 */
export function whenAskedToStop(): Promise<string> {
  return new Promise((resolve) => {
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
      process.on(signal, () => resolve(signal));
    }
    if (process.send) process.on('disconnect', () => resolve('parent gone'));
    if (process.env['npm_lifecycle_event']) watchParent(() => resolve('npm gone'));
  });
}

function watchParent(onGone: () => void): void {
  const parent = process.ppid;
  const timer = setInterval(() => {
    if (process.ppid === parent) return;
    clearInterval(timer);
    onGone();
  }, 500);
  timer.unref();
}
