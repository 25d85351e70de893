/** A step of a sharded backup that the runner's log tells: what dies, dies right after it. */
export interface Point {
  /** The message of the line, or how it begins. */
  message: string;
  /** The component that the line names, where there is one for each. */
  component?: Component;
  /** What the balancer was before the backup. */
  balancer: 'on' | 'off';
}

export const COMPONENTS = ['configserver', 'sh0', 'sh1'] as const;
export type Component = (typeof COMPONENTS)[number];

/** Every step that is recorded, in the order of a run; shards take theirs side by side. */
export const POINTS: readonly Point[] = [
  { message: 'member chosen', component: 'sh1', balancer: 'off' },
  { message: 'repositories opened', balancer: 'on' },
  { message: 'the balancer is off already', balancer: 'off' },
  { message: 'balancer written down', balancer: 'on' },
  { message: 'balancer stopped', balancer: 'on' },
  { message: 'time of the cut chosen', balancer: 'off' },
  { message: 'lock written down', component: 'configserver', balancer: 'on' },
  { message: 'member locked', component: 'configserver', balancer: 'off' },
  { message: 'lock written down', component: 'sh0', balancer: 'off' },
  { message: 'member locked', component: 'sh0', balancer: 'on' },
  { message: 'lock written down', component: 'sh1', balancer: 'off' },
  { message: 'member locked', component: 'sh1', balancer: 'on' },
  { message: 'unlocked after', component: 'sh0', balancer: 'off' },
  { message: 'lock struck out', component: 'sh0', balancer: 'on' },
  { message: 'dump finished', component: 'sh1', balancer: 'off' },
  { message: 'unlocked after', component: 'configserver', balancer: 'on' },
  { message: 'the balancer is as it was', balancer: 'on' },
  { message: 'balancer struck out', balancer: 'on' },
  { message: 'archives written', balancer: 'off' },
  { message: 'Snapshot is whole', balancer: 'on' },
];

export function nameOf({ message, component }: Point): string {
  return component === undefined ? message : `${message} (${component})`;
}

/** Whether a line of the runner's log tells of the point. */
export function tells({ message, component }: Point, line: Readonly<Record<string, unknown>>): boolean {
  return String(line.msg).startsWith(message) && (component === undefined || line.component === component);
}

/** So many points, spread over the run; all of them when there are no more. */
export function spread(count: number): Point[] {
  if (count >= POINTS.length) return [...POINTS];
  const step = POINTS.length / count;
  return Array.from({ length: count }, (_, index) => POINTS[Math.floor((index + 0.5) * step)] as Point);
}
