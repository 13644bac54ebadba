"""What is changed in a module: one small change at a time, each a fault that somebody could have written."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass

FLIPPED: dict[type[ast.cmpop], tuple[type[ast.cmpop], ...]] = {
    ast.Lt: (ast.LtE, ast.GtE),
    ast.LtE: (ast.Lt, ast.Gt),
    ast.Gt: (ast.GtE, ast.LtE),
    ast.GtE: (ast.Gt, ast.Lt),
    ast.Eq: (ast.NotEq,),
    ast.NotEq: (ast.Eq,),
    ast.Is: (ast.IsNot,),
    ast.IsNot: (ast.Is,),
    ast.In: (ast.NotIn,),
    ast.NotIn: (ast.In,),
}
COUNTED: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
    ast.Mod: ast.Mult,
}
NAMED = {"min": "max", "max": "min", "any": "all", "all": "any"}


@dataclass(frozen=True)
class Mutant:
    """One change."""

    line: int
    last_line: int
    before: str
    after: str
    scope: range
    """The lines of the function, or of the statement, that it stands in."""
    source: str
    place: tuple[int, int]
    """Which node, and which of its changes."""

    @property
    def text(self) -> str:
        """`line: before -> after`, each shortened to one line."""
        return f"{self.line}: {_short(self.before)} -> {_short(self.after)}"

    def tree(self) -> ast.Module:
        """The whole module with the change."""
        tree = ast.parse(self.source)
        node = list(_changeable(tree))[self.place[0]]
        _put(tree, node, list(_changes(node))[self.place[1]])
        return ast.fix_missing_locations(tree)


def mutants(source: str) -> Iterator[Mutant]:
    """Every change of one module."""
    tree = ast.parse(source)
    for place, node in enumerate(_changeable(tree)):
        line = getattr(node, "lineno", 1)
        last = getattr(node, "end_lineno", line) or line
        for number, changed in enumerate(_changes(node)):
            after = ast.unparse(ast.fix_missing_locations(changed)) or "nothing"
            yield Mutant(line, last, ast.unparse(node), after, _scope(tree, line), source, (place, number))


def _scope(tree: ast.Module, line: int) -> range:
    kinds = (ast.FunctionDef, ast.Lambda)
    around = [one for one in ast.walk(tree) if isinstance(one, kinds) and one.lineno <= line <= (one.end_lineno or 0)]
    return range(around[0].lineno, (around[0].end_lineno or 0) + 1) if around else range(line, line + 1)


def _changeable(tree: ast.Module) -> Iterator[ast.AST]:
    """The nodes that may be changed: no annotation, no docstring, no name of an enum."""
    waiting: list[ast.AST] = [tree]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.ClassDef) and any(ast.unparse(base).endswith("Enum") for base in node.bases):
            continue
        yield node
        for name, value in ast.iter_fields(node):
            if name in ("annotation", "returns", "decorator_list", "bases"):
                continue
            if isinstance(node, ast.ClassDef) and name == "keywords":  # frozen
                continue
            waiting.extend(one for one in (value if isinstance(value, list) else [value]) if isinstance(one, ast.AST))


def _changes(node: ast.AST) -> Iterator[ast.AST]:  # noqa: C901 - a table of kinds
    match node:
        case ast.Compare(left=left, ops=[op], comparators=comparators):
            for flipped in FLIPPED[type(op)]:
                yield _at(node, ast.Compare(left=left, ops=[flipped()], comparators=comparators))
        case ast.BoolOp(op=op, values=values):
            other = ast.Or() if isinstance(op, ast.And) else ast.And()
            yield _at(node, ast.BoolOp(op=other, values=values))
            for dropped in range(len(values)):
                left_over = values[:dropped] + values[dropped + 1 :]
                yield left_over[0] if len(left_over) == 1 else _at(node, ast.BoolOp(op=op, values=left_over))
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            yield operand
        case ast.BinOp(left=left, op=op, right=right) if type(op) in COUNTED and not _is_text(node):
            yield _at(node, ast.BinOp(left=left, op=COUNTED[type(op)](), right=right))
        case ast.Constant(value=bool() as value):
            yield _at(node, ast.Constant(value=not value))
        case ast.Constant(value=int() | float() as value):
            yield _at(node, ast.Constant(value=value + 1))
        case ast.IfExp(test=test, body=body, orelse=orelse):
            yield _at(node, ast.IfExp(test=test, body=orelse, orelse=body))
        case ast.Call(func=func, args=args, keywords=keywords):
            if isinstance(func, ast.Name) and func.id in NAMED:
                renamed = ast.Name(id=NAMED[func.id], ctx=ast.Load())
                yield _at(node, ast.Call(func=renamed, args=args, keywords=keywords))
            for dropped in range(len(keywords)):
                without = keywords[:dropped] + keywords[dropped + 1 :]
                yield _at(node, ast.Call(func=func, args=args, keywords=without))
        case ast.If(test=ast.Name() | ast.Call() | ast.Attribute(), body=body, orelse=orelse):
            for value in (True, False):
                yield _at(node, ast.If(test=ast.Constant(value=value), body=body, orelse=orelse))
        case ast.Expr(value=ast.Call()) | ast.AugAssign() | ast.Delete():
            yield _at(node, ast.Pass())
        case ast.Assign(targets=[ast.Attribute() | ast.Subscript()]):
            yield _at(node, ast.Pass())
        case ast.Continue():
            yield _at(node, ast.Pass())


def _is_text(node: ast.BinOp) -> bool:
    return any(isinstance(one, ast.JoinedStr) or _is_string(one) for one in (node.left, node.right))


def _is_string(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, str)


def _at(node: ast.AST, made: ast.AST) -> ast.AST:
    return ast.copy_location(made, node)


def _put(tree: ast.Module, old: ast.AST, new: ast.AST) -> None:
    for parent in ast.walk(tree):
        for name, value in ast.iter_fields(parent):
            if value is old:
                setattr(parent, name, new)
                return
            if isinstance(value, list):
                for index, one in enumerate(value):
                    if one is old:
                        value[index] = new
                        return


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= 110 else f"{line[:107]}..."
