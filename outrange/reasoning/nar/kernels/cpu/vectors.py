"""Passes over rows of features as LLVM vector code, each one a loop over two vectors at a time; rows are whole panels
(gemm.py) wide.
"""

from collections.abc import Callable, Sequence
from typing import Any

from llvmlite import ir
from numba import types

from outrange.reasoning.nar.kernels.cpu.gemm import (
    LANES,
    PANEL,
    Value,
    emitted,
    fma,
    intrinsic,
    loop,
    splat,
    vector_load,
    vector_store,
)

_F, _I, _H = ir.FloatType(), ir.IntType(64), ir.IntType(16)
_V = ir.VectorType(_F, LANES)
_BITS = ir.IntType(LANES)
_MASK = ir.VectorType(ir.IntType(1), LANES)
UNROLLED = 4  # receivers whose loads and products are on their way at once


def _const(value: int) -> Value:
    return ir.Constant(_I, value)


def _zeros() -> Value:
    return ir.Constant(_V, [0.0] * LANES)


def _float(b: Any, address: Value) -> Value:
    return b.load(b.inttoptr(address, _F.as_pointer()), align=4)


def _sum(b: Any, vector: Value) -> Value:
    # halves are added until one lane is left: log2 steps instead of one after another
    lanes = LANES
    while lanes > 1:
        lanes //= 2
        low, high = (
            ir.Constant(ir.VectorType(ir.IntType(32), lanes), [start + i for i in range(lanes)]) for start in (0, lanes)
        )
        halves = [b.shuffle_vector(vector, ir.Constant(vector.type, ir.Undefined), half) for half in (low, high)]
        vector = b.fadd(*halves)
    return b.extract_element(vector, ir.Constant(ir.IntType(32), 0))


def _call(name: str, arguments: Sequence[ir.Type], body: Callable, result: ir.Type | None = None) -> Callable:
    def code(context, builder, signature, values):
        function, b = emitted(builder.module, f"{name}{LANES}", arguments, result)
        if b is not None:  # this module has it not yet
            out = body(b, *function.args)
            b.ret_void() if result is None else b.ret(out)
        value = builder.call(function, values)
        return context.get_dummy_value() if result is None else value

    return code


def _signature(arguments: str, result: Any = types.none) -> Any:
    return result(*[{"i": types.int64, "f": types.float32}[a] for a in arguments])


def _types(arguments: str) -> list[ir.Type]:
    return [{"i": _I, "f": _F}[a] for a in arguments]


def _pieces(b: Any, panel: Value, bases: tuple[Value, ...]):
    """The addresses in each base of both vectors of a panel."""
    for v in range(2):
        offset = b.add(b.mul(panel, _const(4 * PANEL)), _const(4 * LANES * v))
        yield [b.add(base, offset) for base in bases]


def _bits_at(b: Any, bits: Value, panel: Value, v: int) -> Value:
    where = b.add(bits, b.add(b.mul(panel, _const(PANEL // 8)), _const(LANES // 8 * v)))
    return b.inttoptr(where, _BITS.as_pointer())


def _greater(b: Any, x: Value, y: Value) -> Value:
    """Where x is larger, or not a number: it must win so that it is seen."""
    return b.or_(b.fcmp_ordered(">", x, y), b.fcmp_unordered("uno", x, x))


@intrinsic
def best_of(typing, panels, senders, stride, y, agg, arg):
    """agg = max over ``senders`` rows of y, ``stride`` floats apart, arg (int16) = the first row that has it."""

    def body(b, panels, senders, stride, y, agg, arg):
        step = b.mul(stride, _const(4))
        index_type = ir.VectorType(ir.IntType(32), LANES)

        def panel(p, _):
            starts = [address for (address,) in _pieces(b, p, (y,))]
            first = [vector_load(b, address) for address in starts] + [ir.Constant(index_type, [0] * LANES)] * 2

            def row(i, carried):
                row_index = splat(b, b.trunc(i, ir.IntType(32)))
                values, indices = [], []
                for v in range(2):
                    value = vector_load(b, b.add(starts[v], b.mul(i, step)))
                    wins = _greater(b, value, carried[v])
                    values.append(b.select(wins, value, carried[v]))
                    indices.append(b.select(wins, row_index, carried[2 + v]))
                return values + indices

            *values, left, right = loop(b, senders, first, row)
            for value, (out,) in zip(values, _pieces(b, p, (agg,))):
                vector_store(b, value, out)
            for v, index in enumerate((left, right)):
                where = b.add(arg, b.add(b.mul(p, _const(2 * PANEL)), _const(2 * LANES * v)))
                b.store(
                    b.trunc(index, ir.VectorType(_H, LANES)),
                    b.inttoptr(where, ir.VectorType(_H, LANES).as_pointer()),
                    align=2,
                )
            return []

        loop(b, panels, [], panel)

    return _signature("iiiiii"), _call("best_of", _types("iiiiii"), body)


def _relu_backward(b, panels, rows, x, lx, d, ld, *sums):
    """``sums``: (address, row stride in bytes or None) pairs of where each value is added."""
    # in place of x: in place of d LLVM would make masked stores of it, ten times slower on AMD
    lx, ld = b.mul(lx, _const(4)), b.mul(ld, _const(4))

    def row(i, _):
        xrow, drow = b.add(x, b.mul(i, lx)), b.add(d, b.mul(i, ld))
        into = [at if step is None else b.add(at, b.mul(i, step)) for at, step in sums]

        def panel(p, _):
            for xp, dp, *totals in _pieces(b, p, (xrow, drow, *into)):
                value = b.select(b.fcmp_ordered(">", vector_load(b, xp), _zeros()), vector_load(b, dp), _zeros())
                vector_store(b, value, xp)
                for at in totals:
                    vector_store(b, b.fadd(vector_load(b, at), value), at)
            return []

        loop(b, panels, [], panel)
        return []

    loop(b, rows, [], row)


@intrinsic
def relu_backward(typing, panels, rows, x, lx, d, ld):
    """x = where(x > 0, d, 0) in ``rows`` rows, ``lx`` and ``ld`` floats apart."""
    return _signature("iiiiii"), _call("relu_backward", _types("iiiiii"), _relu_backward)


@intrinsic
def relu_backward_sums(typing, panels, rows, x, lx, d, ld, total, per_row, lp):
    """As ``relu_backward``; total += the sum of the rows, and each row of ``per_row`` += its row."""

    def body(b, panels, rows, x, lx, d, ld, total, per_row, lp):
        _relu_backward(b, panels, rows, x, lx, d, ld, (total, None), (per_row, b.mul(lp, _const(4))))

    return _signature("iiiiiiiii"), _call("relu_backward_sums", _types("iiiiiiiii"), body)


@intrinsic
def winners(typing, panels, channels, receivers, rows, g, W, dW, x, dx):
    """Maxima over senders, backward: for channel c and receiver q the winner's row r gets dx_r += g_cq W_c, and dW_c +=
    g_cq x_r.

    ``rows`` (int64; bytes from the first row of x and of dx to r) and g are (channels, receivers); W and dW are in
    column panels (panels, channels, PANEL).
    """

    def body(b, panels, channels, receivers, rows, g, W, dW, x, dx):
        own = _const(4 * PANEL)

        def panel(p, _, unrolled):
            skip = b.mul(p, own)
            xpanel, dpanel, start = b.add(x, skip), b.add(dx, skip), b.mul(skip, channels)
            Wpanel, dWpanel = b.add(W, start), b.add(dW, start)

            def channel(c, _):
                at, first = b.mul(c, own), b.mul(c, receivers)
                row, value = b.add(rows, b.mul(first, _const(8))), b.add(g, b.mul(first, _const(4)))
                w, dw = (
                    [place for (place,) in _pieces(b, _const(0), (b.add(base, at),))] for base in (Wpanel, dWpanel)
                )
                weights = [vector_load(b, place) for place in w]

                # dW_c stays in registers over all receivers; dx_r goes to memory, as another row comes next
                def receiver(q, sums):
                    for i in range(UNROLLED if unrolled else 1):
                        index = b.add(b.mul(q, _const(UNROLLED)), _const(i)) if unrolled else q
                        offset = b.load(b.inttoptr(b.add(row, b.mul(index, _const(8))), _I.as_pointer()), align=8)
                        factor = splat(b, _float(b, b.add(value, b.mul(index, _const(4)))))
                        new_sums = []
                        for (xp, dp), weight, s in zip(
                            _pieces(b, _const(0), (b.add(xpanel, offset), b.add(dpanel, offset))), weights, sums
                        ):
                            vector_store(b, fma(b, factor, weight, vector_load(b, dp)), dp)
                            new_sums.append(fma(b, factor, vector_load(b, xp), s))
                        sums = new_sums
                    return sums

                sums = loop(
                    b,
                    b.sdiv(receivers, _const(UNROLLED)) if unrolled else receivers,
                    [vector_load(b, place) for place in dw],
                    receiver,
                )
                for total, place in zip(sums, dw):
                    vector_store(b, total, place)
                return []

            loop(b, channels, [], channel)
            return []

        with b.if_else(b.icmp_signed("==", b.srem(receivers, _const(UNROLLED)), _const(0))) as (divisible, otherwise):
            with divisible:
                loop(b, panels, [], lambda p, none: panel(p, none, True))
            with otherwise:
                loop(b, panels, [], lambda p, none: panel(p, none, False))

    return _signature("iiiiiiiii"), _call("winners", _types("iiiiiiiii"), body)


@intrinsic
def max_dot(typing, panels, q, v, w, bits):
    """w . max(q, v); bits = [q > v], one per value."""

    def body(b, panels, q, v, w, bits):
        def panel(p, sums):
            out = []
            for i, ((qp, vp, wp), s) in enumerate(zip(_pieces(b, p, (q, v, w)), sums)):
                left, right = vector_load(b, qp), vector_load(b, vp)
                wins = _greater(b, left, right)
                # one bit a value is all that the backward pass needs to know of q and v
                b.store(b.bitcast(wins, _BITS), _bits_at(b, bits, p, i), align=1)
                out.append(fma(b, b.select(wins, left, right), vector_load(b, wp), s))
            return out

        return _sum(b, b.fadd(*loop(b, panels, [_zeros()] * 2, panel)))

    return _signature("iiiii", types.float32), _call("max_dot", _types("iiiii"), body, _F)


@intrinsic
def max_dot_backward(typing, panels, g, bits, D, total, per_row):
    """D = g where bits, else 0; total += D; per_row += D."""

    def body(b, panels, g, bits, D, total, per_row):
        g = splat(b, g)

        def panel(p, _):
            for i, (dp, tp, ep) in enumerate(_pieces(b, p, (D, total, per_row))):
                wins = b.bitcast(b.load(_bits_at(b, bits, p, i), align=1), _MASK)
                value = b.select(wins, g, _zeros())
                vector_store(b, value, dp)
                vector_store(b, b.fadd(vector_load(b, tp), value), tp)
                vector_store(b, b.fadd(vector_load(b, ep), value), ep)
            return []

        loop(b, panels, [], panel)

    return _signature("ifiiii"), _call("max_dot_backward", _types("ifiiii"), body)


@intrinsic
def max_dots(typing, panels, nodes, D, x, w, bias, out):
    """out_l = w . max(D, x_l) + bias_l for all rows of x."""

    def body(b, panels, nodes, D, x, w, bias, out):
        stride = b.mul(panels, _const(4 * PANEL))

        def node(n, _):
            row = b.add(x, b.mul(n, stride))

            def panel(p, sums):
                new_sums = []
                for (dp, xp, wp), s in zip(_pieces(b, p, (D, row, w)), sums):
                    left, right = vector_load(b, dp), vector_load(b, xp)
                    new_sums.append(
                        fma(b, b.select(b.fcmp_ordered(">", right, left), right, left), vector_load(b, wp), s)
                    )
                return new_sums

            value = _sum(b, b.fadd(*loop(b, panels, [_zeros()] * 2, panel)))
            at = b.mul(n, _const(4))
            b.store(b.fadd(value, _float(b, b.add(bias, at))), b.inttoptr(b.add(out, at), _F.as_pointer()), align=4)
            return []

        loop(b, nodes, [], node)

    return _signature("iiiiiii"), _call("max_dots", _types("iiiiiii"), body)


@intrinsic
def max_dots_backward(typing, panels, nodes, g, D, x, M, out, total, per_row):
    """out = sum over l of g_l [D > x_l]; M_l += g_l [D > x_l]; total += out; per_row += out."""

    def body(b, panels, nodes, g, D, x, M, out, total, per_row):
        stride = b.mul(panels, _const(4 * PANEL))

        def panel(p, _):
            # a panel at a time, so that D and the sums stay in registers over all nodes
            places = list(_pieces(b, p, (D, x, M, out, total, per_row)))
            values = [vector_load(b, place[0]) for place in places]

            def node(n, sums):
                gl, row = splat(b, _float(b, b.add(g, b.mul(n, _const(4))))), b.mul(n, stride)
                new_sums = []
                for (_, xp, mp, *_), value, s in zip(places, values, sums):
                    mp = b.add(mp, row)
                    hit = b.select(b.fcmp_ordered(">", value, vector_load(b, b.add(xp, row))), gl, _zeros())
                    vector_store(b, b.fadd(vector_load(b, mp), hit), mp)
                    new_sums.append(b.fadd(s, hit))
                return new_sums

            for value, (_, _, _, op, tp, ep) in zip(loop(b, nodes, [_zeros()] * 2, node), places):
                vector_store(b, value, op)
                for at in (tp, ep):
                    vector_store(b, b.fadd(vector_load(b, at), value), at)
            return []

        loop(b, panels, [], panel)

    return _signature("iiiiiiiii"), _call("max_dots_backward", _types("iiiiiiiii"), body)


@intrinsic
def best_sum(typing, nodes, a, sa, c, sc, y, arg):
    """Eight features: y = max over i of a_i + c_i, rows ``sa`` and ``sc`` floats apart; arg (int16) = the first i that
    has it.
    """
    lanes, index_type, half = ir.VectorType(_F, 8), ir.VectorType(ir.IntType(32), 8), ir.VectorType(_H, 8)

    def body(b, nodes, a, sa, c, sc, y, arg):
        sa, sc = b.mul(sa, _const(4)), b.mul(sc, _const(4))

        def value(i):
            return b.fadd(vector_load(b, b.add(a, b.mul(i, sa)), lanes), vector_load(b, b.add(c, b.mul(i, sc)), lanes))

        def node(i, carried):
            new = value(i)
            wins = _greater(b, new, carried[0])  # strictly: the first of equals stays
            return [
                b.select(wins, new, carried[0]),
                b.select(wins, splat(b, b.trunc(i, ir.IntType(32)), 8), carried[1]),
            ]

        best, index = loop(b, nodes, [value(_const(0)), ir.Constant(index_type, [0] * 8)], node)
        vector_store(b, best, y)
        b.store(b.trunc(index, half), b.inttoptr(arg, half.as_pointer()), align=2)

    return _signature("iiiiiii"), _call("best_sum", _types("iiiiiii"), body)
