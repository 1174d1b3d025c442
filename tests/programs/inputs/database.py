import sqlite3, os
for name in (":memory:", "test.db"):
    c = sqlite3.connect(name)
    c.execute("create table t(a integer primary key, b text)")
    with c: c.executemany("insert into t values(?, ?)", ((n, "row %d" % n) for n in range(5000)))
    print(c.execute("select count(*), sum(a), max(b) from t where a % 3 = 0").fetchone())
    try:
        with c: c.execute("insert into t values(0, 'again')")
    except sqlite3.IntegrityError as e: print(e)
    c.execute("create index i on t(b)")
    print(c.execute("select a from t where b = 'row 4321'").fetchall(), c.execute("pragma integrity_check").fetchone())
    c.close()
print(os.path.getsize("test.db") > 100000)
