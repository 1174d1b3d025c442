import json, decimal, fractions, math, datetime, re, struct, itertools, collections, statistics, cmath, locale
d = decimal.getcontext(); d.prec = 60
print(decimal.Decimal(2).sqrt(), decimal.Decimal(1) / 7, decimal.Decimal("1.1") ** 50)
o = {"a": [1, 2.5, None, True], "b": {"c": "\u00e9\n"}, "z": 10 ** 30}
s = json.dumps(o, sort_keys=True); print(s, json.loads(s) == o); print(json.dumps(o, indent=1, ensure_ascii=True))
try: json.loads("{bad")
except ValueError as e: print(e)
print(math.pi, math.exp(1.5), math.fsum([0.1] * 10), cmath.sqrt(-2), math.factorial(40), math.lgamma(11.5))
print(fractions.Fraction(3, 7) + fractions.Fraction(1, 3), statistics.stdev([1, 2, 4, 9]), struct.pack("<idq", 1, 2.5, -3).hex())
print(datetime.datetime(2024, 2, 29) + datetime.timedelta(days=366), re.findall(r"(\w)(\d+)", "a1 b22 c333"))
print(collections.Counter("mississippi").most_common(2), list(itertools.islice(itertools.permutations("abc"), 4)))
print(2 ** 2000 % 1000007, pow(3, -1, 11), int("9" * 50) // 7, 0.1 + 0.2, 1e308 * 10, float("nan") != float("nan"))
