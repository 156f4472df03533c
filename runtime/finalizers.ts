// What is told when an object was collected: one registry for the whole process, never let go.
//
// A registry that is itself collected, after its objects and before its turn, leaves V8 waiting for that turn for ever: from
// then on no registry of the process hears of anything. Registries of stores and sessions that come and go were such.

interface Held {
  readonly collected: (held: never) => void;
  readonly held: unknown;
}

const registry = new FinalizationRegistry<Held>(({ collected, held }) => collected(held as never));

/** `collected` is called, some time after an object was collected, with what it was registered with. */
export function finalizers<T>(collected: (held: T) => void): Pick<FinalizationRegistry<T>, "register" | "unregister"> {
  return {
    register: (target, held, token) => registry.register(target, { collected, held }, token),
    unregister: (token) => registry.unregister(token),
  };
}
