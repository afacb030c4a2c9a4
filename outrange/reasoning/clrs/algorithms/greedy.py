"""Greedy algorithms (CLRS sections 16.1 and 16.5)."""

from outrange.reasoning.clrs.algorithms.common import argsort, array_predecessors, hints, negate

ActivityHints = hints("activity_selector")
TaskHints = hints("task_scheduling")


def activity_selector(s, f, selected):
    """A largest set of activities [s, f) that do not overlap: of those that start late enough, the one that finishes
    first.
    """
    predecessor = array_predecessors(s.size)
    yield ActivityHints(pred_h=predecessor, selected_h=selected, m=0, k=0)
    order = argsort(f)
    k = order[0]  # the activity selected last
    for m in order:
        if m == k or s[m] >= f[k]:  # the first to finish is always selected
            selected[m] = 1
            k = m
        yield ActivityHints(pred_h=predecessor, selected_h=selected, m=m, k=k)


def task_scheduling(d, w, selected):
    """Unit tasks with deadlines d and penalties w, dearest first, each selected if fewer tasks than its deadline are
    selected so far.

    The textbook keeps the selected set feasible by slots; the published traces use one counter, t.
    """
    predecessor, t = array_predecessors(d.size), 0
    yield TaskHints(pred_h=predecessor, selected_h=selected, i=0, t=0.0)
    for i in argsort(negate(w)):
        if t == 0 or t < d[i]:
            selected[i] = 1
            t += 1
        yield TaskHints(pred_h=predecessor, selected_h=selected, i=i, t=float(t))
