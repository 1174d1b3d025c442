// A Go program: its runtime makes raw system calls, preempts by signals and sleeps on futexes.
package main

import (
	"bufio"
	"crypto/sha256"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"sort"
	"strings"
	"sync"
	"syscall"
	"time"
)

func main() {
	var wait sync.WaitGroup
	var lock sync.Mutex
	sums := make(chan int, 10)
	total := 0
	for i := 0; i < 100; i++ {
		wait.Add(1)
		go func(n int) {
			defer wait.Done()
			runtime.Gosched()
			lock.Lock()
			total += n
			lock.Unlock()
			sums <- n * n
		}(i)
	}
	go func() { wait.Wait(); close(sums) }()
	squares := 0
	for s := range sums {
		squares += s
	}
	fmt.Println(total, squares)

	done := make(chan bool)
	go func() { // never yields by itself: the runtime must preempt it with a signal
		n := 0
		for i := 0; i < 300_000_000; i++ {
			n ^= i
		}
		done <- n >= 0
	}()
	select {
	case <-time.After(5 * time.Millisecond):
		fmt.Println("timer first")
	case <-done:
		fmt.Println("timer first")
		done = nil
	}
	if done != nil {
		<-done
	}

	caught := make(chan os.Signal, 1)
	signal.Notify(caught, syscall.SIGUSR1)
	syscall.Kill(os.Getpid(), syscall.SIGUSR1)
	fmt.Println(<-caught)

	func() {
		defer func() { fmt.Println("recovered:", recover()) }()
		var p *struct{ x int }
		fmt.Println(p.x)
	}()

	words := map[string]int{}
	if f, err := os.Open("text.txt"); err == nil {
		for s := bufio.NewScanner(f); s.Scan(); {
			for _, w := range strings.Fields(s.Text()) {
				words[w]++
			}
		}
	}
	keys := make([]string, 0)
	for w := range words {
		keys = append(keys, w)
	}
	sort.Strings(keys)
	fmt.Printf("%v %x\n", keys, sha256.Sum256([]byte("abc")))
	garbage := 0
	for i := 0; i < 2000; i++ {
		garbage += len(make([]byte, 100_000))
	}
	runtime.GC()
	_, err := os.Stat("/nowhere")
	fmt.Println(garbage, err, runtime.NumCPU() > 0)
	os.Exit(3)
}
