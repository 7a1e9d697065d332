// Package execute runs plans: it orders tasks, shares the machine's cores and memory among them, and
// has packages built by an Engine, which knows nothing of graphs. The engine of this machine is
// Local; one that sends actions to other machines would take its place.
package execute
