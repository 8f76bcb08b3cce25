/** Raw TCP has no words of its own: a refusal is said in the preface (D18), after it the connection just ends. */
export const refusal = undefined;
