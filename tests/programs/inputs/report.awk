{ n[$3] += $2; total += $2; lines++ }
END {
    for (city in n) names[++k] = city
    for (i = 1; i <= k; i++) for (j = i + 1; j <= k; j++) if (names[j] < names[i]) { t = names[i]; names[i] = names[j]; names[j] = t }
    for (i = 1; i <= k; i++) printf "%-8s %5d\n", names[i], n[names[i]]
    printf "%.3f %s %d\n", total / lines, substr("quicksand", 6), index("abc", "c")
    print toupper("done"), length("four"), sprintf("%x", 255), int(exp(1) * 1000)
}
