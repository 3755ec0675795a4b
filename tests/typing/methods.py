"""What decorated methods are to a type checker; read by mypy and basedpyright, never run."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Generic, Self, TypeVar, assert_type, overload

from resilience import Bulkhead, CircuitBreaker, command, deadline, fallback

T = TypeVar("T")

cmd = command("users")
breaker = CircuitBreaker("users")
bulkhead = Bulkhead(3)


def answer(error: BaseException, users: Users, user: int) -> str:
    return ""


class Users:
    @cmd
    def load(self, user: int, *, fresh: bool = False) -> str:
        return ""

    @cmd
    async def aload(self, user: int) -> str:
        return ""

    @cmd
    def items(self, user: int) -> Iterator[str]:
        yield ""

    @cmd
    async def aitems(self, user: int) -> AsyncIterator[str]:
        yield ""

    @cmd
    def chained(self) -> Self:
        return self

    @cmd
    def read_as(self, model: type[T], user: int) -> T:
        return model()

    @overload
    def either(self, user: int) -> int: ...
    @overload
    def either(self, user: str) -> str: ...
    @cmd
    def either(self, user: int | str) -> int | str:
        return user

    @property
    @cmd
    def count(self) -> int:
        return 1

    @cmd
    @classmethod
    def of_class(cls, user: int) -> str:
        return ""

    @classmethod
    @cmd
    def of_class_inside(cls, user: int) -> str:
        return ""

    @cmd
    @classmethod
    async def made(cls, user: int) -> Self:
        return cls()

    @classmethod
    @cmd
    async def made_inside(cls, user: int) -> Self:
        return cls()

    @cmd
    @staticmethod
    def alone(user: int) -> str:
        return ""

    @staticmethod
    @cmd
    def alone_inside(user: int) -> str:
        return ""

    @cmd
    @staticmethod
    async def aalone(user: int) -> str:
        return ""

    @staticmethod
    @cmd
    def parsed(model: type[T], text: object) -> T:
        return model()

    @staticmethod
    @cmd
    def told(user: str | None = None) -> str:
        return ""

    @fallback(answer)
    @breaker
    @bulkhead
    @deadline(1)
    async def stacked(self, user: int) -> str:
        return ""

    @breaker
    def broken(self, user: int) -> str:
        return self.load(user)

    @bulkhead
    @classmethod
    def full(cls, user: int) -> str:
        return cls.of_class(user)

    @deadline(1)
    @staticmethod
    def hurried(user: int) -> str:
        return ""


class Admins(Users):
    pass


class Store(Generic[T]):
    @cmd
    def put(self, value: T) -> T:
        return value

    @cmd
    @classmethod
    def default(cls, value: T) -> T:
        return value


users = Users()
admins = Admins()


def a_bound_method_takes_no_self() -> None:
    assert_type(users.load(1, fresh=True), str)
    assert_type(admins.load(1), str)
    assert_type(Users.load(users, 1), str)
    assert_type(users.items(1), Iterator[str])
    assert_type(users.aitems(1), AsyncIterator[str])
    users.load("1")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    users.load()  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    users.load(users, 1)  # type: ignore[call-arg, arg-type]  # pyright: ignore[reportCallIssue]
    Users.load(1)  # type: ignore[call-arg, arg-type]  # pyright: ignore[reportCallIssue]


async def an_async_method_stays_one() -> None:
    assert_type(await users.aload(1), str)
    assert_type(await asyncio.create_task(users.aload(1)), str)
    await users.aload("1")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


def self_type_variables_and_overloads_stay() -> None:
    assert_type(admins.chained(), Admins)
    assert_type(users.read_as(float, 1), float)
    assert_type(users.either(1), int)
    assert_type(users.either(""), str)
    assert_type(users.count, int)
    assert_type(Store[int]().put(1), int)
    assert_type(Store[int]().default(1), int)
    Store[int]().put("")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


async def class_methods_are_bound_in_either_order() -> None:
    assert_type(Users.of_class(1), str)
    assert_type(users.of_class(1), str)
    assert_type(Users.of_class_inside(1), str)
    assert_type(users.of_class_inside(1), str)
    assert_type(await Admins.made(1), Admins)
    assert_type(await admins.made_inside(1), Admins)
    Users.of_class("1")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    users.of_class()  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    Users.of_class_inside("1")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


async def static_methods_are_not_bound_in_either_order() -> None:
    assert_type(Users.alone(1), str)
    assert_type(users.alone(1), str)
    assert_type(Users.alone_inside(1), str)
    assert_type(users.alone_inside(1), str)
    assert_type(await users.aalone(1), str)
    assert_type(users.parsed(float, ""), float)
    assert_type(Users.parsed(float, ""), float)
    assert_type(users.told(""), str)
    assert_type(Users.told(), str)
    users.alone("1")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    Users.alone_inside()  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    users.alone_inside(users, 1)  # type: ignore[call-arg, arg-type]  # pyright: ignore[reportCallIssue]


async def the_parts_bind_as_a_command_does() -> None:
    assert_type(await users.stacked(1), str)
    assert_type(users.broken(1), str)
    assert_type(Users.full(1), str)
    assert_type(users.hurried(1), str)
    await users.stacked("1")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    users.broken("1")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    Users.full("1")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    users.hurried("1")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
