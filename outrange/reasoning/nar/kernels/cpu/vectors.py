"""Passes over rows of features as LLVM vector code, each one a loop over two vectors at a time; rows are whole panels (gemm.py) wide."""

from collections.abc import Callable

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from outrange.reasoning.nar.kernels.cpu.gemm import LANES, PANEL, emitted, fma, loop, splat, vector_load, vector_store

_F, _I, _H = ir.FloatType(), ir.IntType(64), ir.IntType(16)
_V = ir.VectorType(_F, LANES)
_BITS = ir.IntType(LANES)
_MASK = ir.VectorType(ir.IntType(1), LANES)


def _const(value: int) -> ir.Value:
    return ir.Constant(_I, value)


def _zeros() -> ir.Value:
    return ir.Constant(_V, [0.0] * LANES)


def _float(b: ir.IRBuilder, address: ir.Value) -> ir.Value:
    return b.load(b.inttoptr(address, _F.as_pointer()), align=4)


def _sum(b: ir.IRBuilder, vector: ir.Value) -> ir.Value:
    lanes = LANES
    while lanes > 1:
        lanes //= 2
        low, high = (ir.Constant(ir.VectorType(ir.IntType(32), lanes), [start + i for i in range(lanes)]) for start in (0, lanes))
        halves = [b.shuffle_vector(vector, ir.Constant(vector.type, ir.Undefined), half) for half in (low, high)]
        vector = b.fadd(*halves)
    return b.extract_element(vector, ir.Constant(ir.IntType(32), 0))


def _call(name: str, arguments: list[ir.Type], body: Callable, result: ir.Type | None = None) -> Callable:
    def code(context, builder, signature, values):
        function, b = emitted(builder.module, f"{name}{LANES}", arguments, result)
        if b is not None:
            out = body(b, *function.args)
            b.ret_void() if result is None else b.ret(out)
        made = builder.call(function, values)
        return context.get_dummy_value() if result is None else made

    return code


def _signature(arguments: str, result=types.none):
    return result(*[{"i": types.int64, "f": types.float32}[a] for a in arguments])


def _types(arguments: str) -> list[ir.Type]:
    return [{"i": _I, "f": _F}[a] for a in arguments]


def _pieces(b: ir.IRBuilder, panel: ir.Value, bases: tuple[ir.Value, ...]):
    """The addresses in each base of both vectors of a panel."""
    for v in range(2):
        offset = b.add(b.mul(panel, _const(4 * PANEL)), _const(4 * LANES * v))
        yield [b.add(base, offset) for base in bases]


def _bits_at(b: ir.IRBuilder, bits: ir.Value, panel: ir.Value, v: int) -> ir.Value:
    where = b.add(bits, b.add(b.mul(panel, _const(PANEL // 8)), _const(LANES // 8 * v)))
    return b.inttoptr(where, _BITS.as_pointer())


def _greater(b: ir.IRBuilder, x: ir.Value, y: ir.Value) -> ir.Value:
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
                b.store(b.trunc(index, ir.VectorType(_H, LANES)), b.inttoptr(where, ir.VectorType(_H, LANES).as_pointer()), align=2)
            return []

        loop(b, panels, [], panel)

    return _signature("iiiiii"), _call("best_of", _types("iiiiii"), body)


@intrinsic
def relu_backward(typing, panels, rows, d, ld, x, lx, total):
    """d = where(x > 0, d, 0) in ``rows`` rows, ``ld`` and ``lx`` floats apart; total += their sum."""

    def body(b, panels, rows, d, ld, x, lx, total):
        dstep, xstep = b.mul(ld, _const(4)), b.mul(lx, _const(4))

        def panel(p, _):
            places = list(_pieces(b, p, (d, x, total)))

            def row(i, sums):
                out = []
                for (dp, xp, _), s in zip(places, sums):
                    dp, xp = b.add(dp, b.mul(i, dstep)), b.add(xp, b.mul(i, xstep))
                    value = b.select(b.fcmp_ordered(">", vector_load(b, xp), _zeros()), vector_load(b, dp), _zeros())
                    vector_store(b, value, dp)
                    out.append(b.fadd(s, value))
                return out

            for value, (_, _, out) in zip(loop(b, rows, [vector_load(b, place[2]) for place in places], row), places):
                vector_store(b, value, out)
            return []

        loop(b, panels, [], panel)

    return _signature("iiiiiii"), _call("relu_backward", _types("iiiiiii"), body)


@intrinsic
def relu_backward_twice(typing, panels, rows, d, ld, x, lx, total, each, le):
    """As ``relu_backward``, and each row is added to the row of ``each``."""

    def body(b, panels, rows, d, ld, x, lx, total, each, le):
        dstep, xstep, estep = (b.mul(stride, _const(4)) for stride in (ld, lx, le))

        def panel(p, _):
            places = list(_pieces(b, p, (d, x, total, each)))

            def row(i, sums):
                out = []
                for (dp, xp, _, ep), s in zip(places, sums):
                    dp, xp, ep = b.add(dp, b.mul(i, dstep)), b.add(xp, b.mul(i, xstep)), b.add(ep, b.mul(i, estep))
                    value = b.select(b.fcmp_ordered(">", vector_load(b, xp), _zeros()), vector_load(b, dp), _zeros())
                    vector_store(b, value, dp)
                    vector_store(b, b.fadd(vector_load(b, ep), value), ep)
                    out.append(b.fadd(s, value))
                return out

            for value, place in zip(loop(b, rows, [vector_load(b, place[2]) for place in places], row), places):
                vector_store(b, value, place[2])
            return []

        loop(b, panels, [], panel)

    return _signature("iiiiiiiii"), _call("relu_backward_twice", _types("iiiiiiiii"), body)


@intrinsic
def winners(typing, panels, receivers, nodes, h, arg, g, w, dw, x, dx, ld):
    """One channel's maxima over senders, backward: of each receiver q the winner's row r = q * nodes + arg[q * h] gets dx_r += g_q w, and dw += g_q x_r.

    arg (int16) and g are the channel's column, ``h`` apart; a negative arg has no winner. Rows of x are panels * PANEL apart, of dx ``ld``.
    """

    def body(b, panels, receivers, nodes, h, arg, g, w, dw, x, dx, ld):
        lx = b.mul(panels, _const(4 * PANEL))
        ld = b.mul(ld, _const(4))

        def chunk(first: ir.Value, width: int) -> None:
            places = [place for q in range(width) for place in _pieces(b, b.add(first, _const(q)), (w, dw, x, dx))]
            weights = [vector_load(b, place[0]) for place in places]

            def receiver(q, sums):
                at = b.mul(q, h)
                winner = b.sext(b.load(b.inttoptr(b.add(arg, b.mul(at, _const(2))), _H.as_pointer()), align=2), _I)
                before, some, after = b.block, b.append_basic_block("some"), b.append_basic_block("next")
                b.cbranch(b.icmp_signed("<", winner, _const(0)), after, some)
                b.position_at_end(some)
                value = splat(b, _float(b, b.add(g, b.mul(at, _const(4)))))
                row = b.add(b.mul(q, nodes), winner)
                xrow, drow = b.mul(row, lx), b.mul(row, ld)
                new = []
                for (_, _, xp, dp), weight, s in zip(places, weights, sums):
                    dp = b.add(dp, drow)
                    vector_store(b, fma(b, value, weight, vector_load(b, dp)), dp)
                    new.append(fma(b, value, vector_load(b, b.add(xp, xrow)), s))
                b.branch(after)
                b.position_at_end(after)
                out = []
                for s, n in zip(sums, new):
                    phi = b.phi(_V)
                    phi.add_incoming(s, before)
                    phi.add_incoming(n, some)
                    out.append(phi)
                return out

            for value, place in zip(loop(b, receivers, [vector_load(b, place[1]) for place in places], receiver), places):
                vector_store(b, value, place[1])

        pairs = b.lshr(panels, _const(1))
        with b.if_then(b.icmp_signed(">", pairs, _const(0))):
            loop(b, pairs, [], lambda p, _: chunk(b.mul(p, _const(2)), 2) or [])
        with b.if_then(b.icmp_unsigned("!=", b.and_(panels, _const(1)), _const(0))):
            chunk(b.sub(panels, _const(1)), 1)

    return _signature("iiiiiiiiiii"), _call("winners", _types("iiiiiiiiiii"), body)


@intrinsic
def max_dot(typing, panels, q, v, w, bits):
    """w . max(q, v); bits = [q > v], one per value."""

    def body(b, panels, q, v, w, bits):
        def panel(p, sums):
            out = []
            for i, ((qp, vp, wp), s) in enumerate(zip(_pieces(b, p, (q, v, w)), sums)):
                left, right = vector_load(b, qp), vector_load(b, vp)
                wins = _greater(b, left, right)
                b.store(b.bitcast(wins, _BITS), _bits_at(b, bits, p, i), align=1)
                out.append(fma(b, b.select(wins, left, right), vector_load(b, wp), s))
            return out

        return _sum(b, b.fadd(*loop(b, panels, [_zeros()] * 2, panel)))

    return _signature("iiiii", types.float32), _call("max_dot", _types("iiiii"), body, _F)


@intrinsic
def max_dot_backward(typing, panels, g, bits, D, total, each):
    """D = g where bits, else 0; total += D; each += D."""

    def body(b, panels, g, bits, D, total, each):
        g = splat(b, g)

        def panel(p, _):
            for i, (dp, tp, ep) in enumerate(_pieces(b, p, (D, total, each))):
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
                made = []
                for (dp, xp, wp), s in zip(_pieces(b, p, (D, row, w)), sums):
                    left, right = vector_load(b, dp), vector_load(b, xp)
                    made.append(fma(b, b.select(b.fcmp_ordered(">", right, left), right, left), vector_load(b, wp), s))
                return made

            value = _sum(b, b.fadd(*loop(b, panels, [_zeros()] * 2, panel)))
            at = b.mul(n, _const(4))
            b.store(b.fadd(value, _float(b, b.add(bias, at))), b.inttoptr(b.add(out, at), _F.as_pointer()), align=4)
            return []

        loop(b, nodes, [], node)

    return _signature("iiiiiii"), _call("max_dots", _types("iiiiiii"), body)


@intrinsic
def max_dots_backward(typing, panels, nodes, g, D, x, M, out, total, each):
    """out = sum over l of g_l [D > x_l]; M_l += g_l [D > x_l]; total += out; each += out."""

    def body(b, panels, nodes, g, D, x, M, out, total, each):
        stride = b.mul(panels, _const(4 * PANEL))

        def panel(p, _):
            places = list(_pieces(b, p, (D, x, M, out, total, each)))
            values = [vector_load(b, place[0]) for place in places]

            def node(n, sums):
                gl, row = splat(b, _float(b, b.add(g, b.mul(n, _const(4))))), b.mul(n, stride)
                made = []
                for (_, xp, mp, *_), value, s in zip(places, values, sums):
                    mp = b.add(mp, row)
                    hit = b.select(b.fcmp_ordered(">", value, vector_load(b, b.add(xp, row))), gl, _zeros())
                    vector_store(b, b.fadd(vector_load(b, mp), hit), mp)
                    made.append(b.fadd(s, hit))
                return made

            for value, (_, _, _, op, tp, ep) in zip(loop(b, nodes, [_zeros()] * 2, node), places):
                vector_store(b, value, op)
                for at in (tp, ep):
                    vector_store(b, b.fadd(vector_load(b, at), value), at)
            return []

        loop(b, panels, [], panel)

    return _signature("iiiiiiiii"), _call("max_dots_backward", _types("iiiiiiiii"), body)


@intrinsic
def best_sum(typing, nodes, a, sa, c, sc, y, arg):
    """Eight features: y = max over i of a_i + c_i, rows ``sa`` and ``sc`` floats apart; arg (int16) = the first i that has it."""
    lanes, index_type, half = ir.VectorType(_F, 8), ir.VectorType(ir.IntType(32), 8), ir.VectorType(_H, 8)

    def body(b, nodes, a, sa, c, sc, y, arg):
        sa, sc = b.mul(sa, _const(4)), b.mul(sc, _const(4))

        def value(i):
            return b.fadd(vector_load(b, b.add(a, b.mul(i, sa)), lanes), vector_load(b, b.add(c, b.mul(i, sc)), lanes))

        def node(i, carried):
            new = value(i)
            wins = _greater(b, new, carried[0])
            return [b.select(wins, new, carried[0]), b.select(wins, splat(b, b.trunc(i, ir.IntType(32)), 8), carried[1])]

        best, index = loop(b, nodes, [value(_const(0)), ir.Constant(index_type, [0] * 8)], node)
        vector_store(b, best, y)
        b.store(b.trunc(index, half), b.inttoptr(arg, half.as_pointer()), align=2)

    return _signature("iiiiiii"), _call("best_sum", _types("iiiiiii"), body)
