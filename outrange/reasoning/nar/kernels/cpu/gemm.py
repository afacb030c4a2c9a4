"""Small dense products on tiles in cache, C = max(lo, I + J + A @ B): the building block of the fused kernels (arXiv
2209.11142, folded encoders).

The innermost tile, ROWS x PANEL values of C in registers, is emitted as LLVM vector code: PANEL is two vectors wide,
and there is a version for every number of rows up to ROWS. All operands are given by address and strides, so that the
same tile serves

    x @ W       A row-major, B = W packed in column panels        ``pack``, ``affine``
    x.T @ g     A read transposed, B = g row-major, C += A @ B    ``outer``

Addresses are bytes, strides are float32 elements. Vectors are as wide as the processor's; on others LLVM splits them.
"""

from collections.abc import Callable, Sequence
from typing import Any

import llvmlite.binding as llvm
import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic as numba_intrinsic

from outrange.reasoning.nar.kernels.cpu.compiling import part

Value = Any  # llvmlite states no types
intrinsic: Any = numba_intrinsic  # and neither does Numba

WIDE = bool(llvm.get_host_cpu_features().get("avx512f"))
LANES = 16 if WIDE else 8  # floats in a vector
ROWS = 8 if WIDE else 6  # rows of a tile: ROWS x 2 sums, 2 vectors of B and one of A fit the registers
PANEL = 2 * LANES

_F, _I = ir.FloatType(), ir.IntType(64)
_V = ir.VectorType(_F, LANES)
ZERO, LOWEST = np.float32(0), np.float32(-np.inf)


def vector_load(b: Any, address: Value, kind: ir.Type = _V) -> Value:
    return b.load(b.inttoptr(address, kind.as_pointer()), align=4)


def vector_store(b: Any, value: Value, address: Value) -> None:
    b.store(value, b.inttoptr(address, value.type.as_pointer()), align=4)


def splat(b: Any, scalar: Value, lanes: int = LANES) -> Value:
    kind = ir.VectorType(scalar.type, lanes)
    one = b.insert_element(ir.Constant(kind, ir.Undefined), scalar, ir.Constant(ir.IntType(32), 0))
    return b.shuffle_vector(
        one, ir.Constant(kind, ir.Undefined), ir.Constant(ir.VectorType(ir.IntType(32), lanes), [0] * lanes)
    )


def larger(b: Any, value: Value, floor: Value) -> Value:
    """max(value, floor), one instruction; value where it is not a number."""
    return b.select(b.fcmp_ordered(">", floor, value), floor, value)


def fma(b: Any, x: Value, y: Value, z: Value) -> Value:
    """x * y + z, in one instruction where there is one."""
    name = f"llvm.fmuladd.v{x.type.count}f32"
    return b.call(cgutils.get_or_insert_function(b.module, ir.FunctionType(x.type, [x.type] * 3), name), [x, y, z])


def emitted(
    module: ir.Module, name: str, arguments: Sequence[ir.Type], result: ir.Type | None = None
) -> tuple[ir.Function, Any]:
    """A function of the module, and a builder for its body unless it has one; never inlined, so that it keeps the
    registers to itself.
    """
    function = cgutils.get_or_insert_function(
        module, ir.FunctionType(result or ir.VoidType(), arguments), f"outrange.{name}"
    )
    if not function.is_declaration:
        return function, None
    function.linkage = "linkonce_odr"
    function.attributes.add("noinline")
    return function, ir.IRBuilder(function.append_basic_block())


def _const(value: int) -> Value:
    return ir.Constant(_I, value)


def loop(b: Any, count: Value, carried: list[Value], body: Callable) -> list[Value]:
    """``carried = body(index, carried)`` for every index below count (>= 1), carried in registers."""
    entry, block = b.block, b.append_basic_block("loop")
    b.branch(block)
    b.position_at_end(block)
    index = b.phi(_I)
    phis = [b.phi(value.type) for value in carried]
    results = body(index, phis)
    following = b.add(index, _const(1))
    for phi, first, later in zip((index, *phis), (_const(0), *carried), (following, *results)):
        phi.add_incoming(first, entry)
        phi.add_incoming(later, b.block)
    after = b.append_basic_block("after")
    b.cbranch(b.icmp_signed("<", following, count), block, after)
    b.position_at_end(after)
    return results


def _tile(module: ir.Module, rows: int) -> ir.Function:
    """C (rows, PANEL) = max(lo, I + J + sum over d of A[:, d] B[d])."""
    function, b = emitted(module, f"tile{rows}x{PANEL}", [_I] * 12 + [_F])
    if b is None:
        return function
    depth, A, sm, sd, B, sb, I, li, J, lj, C, ldc, lo = function.args  # noqa: E741
    # strides from elements to bytes
    four, step = ir.Constant(_I, 4), ir.Constant(_I, 4 * LANES)
    sm, sd, sb, li, lj, ldc = (b.mul(x, four) for x in (sm, sd, sb, li, lj, ldc))

    def at(base: Value, stride: Value, m: int) -> Value:
        return b.add(base, b.mul(stride, ir.Constant(_I, m)))

    # the sums begin at I + J
    start = []
    for m in range(rows):
        left, right = at(I, li, m), at(J, lj, m)
        for _ in range(2):
            start.append(b.fadd(vector_load(b, left), vector_load(b, right)))
            left, right = b.add(left, step), b.add(right, step)
    entry = b.block
    body, done = function.append_basic_block("depth"), function.append_basic_block("done")
    b.cbranch(b.icmp_signed(">", depth, ir.Constant(_I, 0)), body, done)

    # one step of depth: a value of A for each row, times two vectors of B
    b.position_at_end(body)
    count, a, w = b.phi(_I), b.phi(_I), b.phi(_I)
    sums = [b.phi(_V) for _ in start]
    panel = [vector_load(b, w), vector_load(b, b.add(w, step))]
    ends = []
    for m in range(rows):
        x = splat(b, b.load(b.inttoptr(at(a, sm, m), _F.as_pointer()), align=4))
        ends += [fma(b, x, panel[v], sums[2 * m + v]) for v in range(2)]
    nexts = b.sub(count, ir.Constant(_I, 1)), b.add(a, sd), b.add(w, sb)
    for phi, first, later in zip((count, a, w, *sums), (depth, A, B, *start), (*nexts, *ends)):
        phi.add_incoming(first, entry)
        phi.add_incoming(later, body)
    b.cbranch(b.icmp_signed(">", nexts[0], ir.Constant(_I, 0)), body, done)

    # where depth is 0 the body was never entered, and the sums are I + J
    b.position_at_end(done)
    results = [b.phi(_V) for _ in start]
    for phi, first, later in zip(results, start, ends):
        phi.add_incoming(first, entry)
        phi.add_incoming(later, body)
    floor = splat(b, lo)
    for m in range(rows):
        out = at(C, ldc, m)
        for v in range(2):
            vector_store(b, larger(b, results[2 * m + v], floor), out)
            out = b.add(out, step)
    b.ret_void()
    return function


def _gemm(module: ir.Module) -> ir.Function:
    function, b = emitted(module, f"gemm{PANEL}", [_I] * 18 + [_F])
    if b is None:
        return function
    m, panels, depth, A, sm, sd, B, sb, bp, I, li, ip, J, lj, jp, C, ldc, cp, lo = function.args  # noqa: E741
    tiles = b.sdiv(b.add(m, _const(ROWS - 1)), _const(ROWS))

    def panel(p, _):
        def height(t, carried):
            (r,) = carried  # rows done
            # tiles are of nearly equal height: one of a row or two would wait for its own sums
            tiles_left = b.sub(tiles, t)
            rows = b.sdiv(b.add(b.sub(m, r), b.sub(tiles_left, _const(1))), tiles_left)

            def at(base, row, column):
                return b.add(base, b.mul(_const(4), b.add(b.mul(r, row), b.mul(p, column))))

            operands = [at(A, sm, _const(0)), sm, sd, at(B, _const(0), bp), sb]
            starts = [at(I, li, ip), li, at(J, lj, jp), lj]
            arguments = [depth, *operands, *starts, at(C, ldc, cp), ldc, lo]
            # a tile of every height is compiled; which one is known when it runs
            after = b.append_basic_block("tiled")
            choice = b.switch(rows, after)
            for n in range(1, ROWS + 1):
                with b.goto_block(b.append_basic_block(f"rows{n}")):
                    choice.add_case(_const(n), b.block)
                    b.call(_tile(module, n), arguments)
                    b.branch(after)
            b.position_at_end(after)
            return [b.add(r, rows)]

        with b.if_then(b.icmp_signed(">", tiles, _const(0))):
            loop(b, tiles, [_const(0)], height)
        return []

    with b.if_then(b.icmp_signed(">", panels, _const(0))):
        loop(b, panels, [], panel)
    b.ret_void()
    return function


def _start(builder: Any, at: Value, rows: Value) -> list[Value]:
    """Where a tile's start is read, and the steps from row to row and from panel to panel; address 0 stands for zeros."""
    none = builder.icmp_signed("==", at, _const(0))
    name = f"outrange.zeros{PANEL}"
    if name not in builder.module.globals:
        zeros: Any = ir.GlobalVariable(builder.module, ir.ArrayType(_F, PANEL), name)
        zeros.initializer = ir.Constant(zeros.value_type, [0.0] * PANEL)
        zeros.linkage, zeros.global_constant = "linkonce_odr", True
    # a panel of zeros, read again for every row and panel as all steps are 0, spares a branch in the tile
    nothing = builder.ptrtoint(builder.module.globals[name], _I)
    return [
        builder.select(none, nothing, at),
        *(builder.select(none, _const(0), step) for step in (rows, _const(PANEL))),
    ]


@intrinsic
def affine(typing, m, panels, depth, A, sa, W, I, li, J, lj, C, lc, lo):  # noqa: E741
    """C (m, panels * PANEL) = max(lo, I + J + A @ W), W packed (``pack``); rows are ``sa``, ``li``, ``lj``, ``lc``
    apart, I or J may be 0 for none.
    """

    def code(context, builder, signature, arguments):
        m, panels, depth, A, sa, W, I, li, J, lj, C, lc, lo = arguments  # noqa: E741
        panel, starts = _const(PANEL), _start(builder, I, li) + _start(builder, J, lj)
        builder.call(
            _gemm(builder.module),
            [m, panels, depth, A, sa, _const(1), W, panel, builder.mul(depth, panel), *starts, C, lc, panel, lo],
        )
        return context.get_dummy_value()

    return types.none(*[types.int64] * 12, types.float32), code


@intrinsic
def outer(typing, m, panels, depth, A, sa, B, sb, C):
    """C += A.T @ B for A (depth, m) and B (depth, panels * PANEL), rows ``sa`` and ``sb`` apart; C (panels, m, PANEL)
    is in column panels.
    """

    def code(context, builder, signature, arguments):
        m, panels, depth, A, sa, B, sb, C = arguments
        panel, none = _const(PANEL), _start(builder, _const(0), _const(0))
        step, lowest = builder.mul(m, panel), ir.Constant(_F, float(LOWEST))
        builder.call(
            _gemm(builder.module),
            [m, panels, depth, A, _const(1), sa, B, sb, panel, C, panel, step, *none, C, panel, step, lowest],
        )
        return context.get_dummy_value()

    return types.none(*[types.int64] * 8), code


@intrinsic
def address(typing, array):
    """The address of an array's first element.

    The array must be an argument of the kernel, or it may be freed while the address is in use.
    """

    def code(context, builder, signature, arguments):
        array_struct = context.make_array(signature.args[0])(context, builder, arguments[0])
        return builder.ptrtoint(array_struct.data, _I)

    return types.int64(array), code


@part
def pack(W, packed):
    """W (d, c) into column panels (ceil(c / PANEL), d, PANEL); columns past c are 0."""
    d, c = W.shape
    for p in range(packed.shape[0]):
        width = min(PANEL, c - p * PANEL)
        for i in range(d):
            for q in range(PANEL):
                packed[p, i, q] = ZERO
            for q in range(width):
                packed[p, i, q] = W[i, p * PANEL + q]


@part
def pack_transposed(W, packed):
    """W.T in column panels, (ceil(d / PANEL), c, PANEL) for W (d, c)."""
    d, c = W.shape
    for p in range(packed.shape[0]):
        width = min(PANEL, d - p * PANEL)
        for i in range(c):
            for q in range(PANEL):
                packed[p, i, q] = ZERO
        for q in range(width):
            for i in range(c):
                packed[p, i, q] = W[p * PANEL + q, i]
