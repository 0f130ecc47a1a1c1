/** The grace period of sweeps, in ms, where there is no configuration that says otherwise: its default. */
export const usualGrace = 24 * 3_600_000;
