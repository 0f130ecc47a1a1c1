/** Objects that stand for numbers, each as long as somebody uses it. */
export class SharedObjects {
  readonly #objects = new Map<number, { readonly object: object; users: number }>();

  async use<T>(number: number, work: (object: object) => Promise<T>): Promise<T> {
    const shared = this.#objects.get(number) ?? { object: {}, users: 0 };
    this.#objects.set(number, shared);
    shared.users += 1;
    try {
      return await work(shared.object);
    } finally {
      shared.users -= 1;
      if (shared.users === 0) this.#objects.delete(number);
    }
  }
}
