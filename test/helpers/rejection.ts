/** The error that a promise is expected to reject with; fails the test when it doesn't. */
export async function rejection(promise: Promise<unknown>): Promise<Error> {
  let value: unknown;
  try {
    value = await promise;
  } catch (error) {
    if (error instanceof Error) return error;
    throw new Error("rejected with something that is no Error", { cause: error });
  }
  throw new Error(`expected a rejection, got ${JSON.stringify(value)}`);
}
