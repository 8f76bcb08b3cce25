"""asyncpg as a client: prints one line for each thing that it does. Arguments: host port user database cert key ca."""

import asyncio
import io
import ssl
import sys

import asyncpg


async def main():
    host, port, user, database, cert, key, ca = sys.argv[1:]
    context = ssl.create_default_context(cafile=ca)
    context.load_cert_chain(cert, key)
    where = dict(host=host, port=int(port), user=user, database=database, ssl=context)
    connection = await asyncpg.connect(**where)

    print("parameters", await connection.fetchval("select $1::int + $2::int", 40, 2))
    statement = await connection.prepare("select $1::text || '!'")
    print("prepared", await statement.fetchval("once"), await statement.fetchval("again"))

    await connection.execute("drop table if exists asyncpg_items")
    await connection.execute("create table asyncpg_items (id int primary key, name text)")
    await connection.executemany(
        "insert into asyncpg_items values ($1, $2)", [(n, f"name {n}") for n in range(500)]
    )
    print("many", await connection.fetchval("select count(*) from asyncpg_items"))

    try:
        async with connection.transaction():
            await connection.execute("delete from asyncpg_items")
            await connection.execute("select 1 / 0")
    except asyncpg.DivisionByZeroError as error:
        print("rolled back", await connection.fetchval("select count(*) from asyncpg_items"), error)

    async with connection.transaction():
        total = 0
        async for record in connection.cursor("select id from asyncpg_items", prefetch=50):
            total += record["id"]
        print("cursor", total)

    records = [(n, f"copied {n}") for n in range(1000, 3000)]
    print("copy in", await connection.copy_records_to_table("asyncpg_items", records=records))
    out = io.BytesIO()
    await connection.copy_from_query("select id from asyncpg_items where id < $1", 10, output=out)
    print("copy out", len(out.getvalue().split()))

    heard = asyncio.get_running_loop().create_future()
    await connection.add_listener("asyncpg_news", lambda *news: heard.set_result(news[3]))
    await connection.execute("notify asyncpg_news, 'said'")
    print("listen", await asyncio.wait_for(heard, 10))

    try:
        await connection.fetch("select pg_sleep(60)", timeout=1)
    except asyncio.TimeoutError:
        print("cancelled", await connection.fetchval("select 'still here'"))
    await connection.close()

    async with asyncpg.create_pool(**where, min_size=4, max_size=4) as pool:
        sums = await asyncio.gather(*(pool.fetchval("select $1::int * 2", n) for n in range(100)))
        print("pool", sum(sums))


asyncio.run(main())
