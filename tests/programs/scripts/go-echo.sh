export HOME=$PWD GOCACHE=$PWD/c GO111MODULE=off GOFLAGS=-p=2
cat > a.go <<'X'
package main
import ("bufio";"crypto/sha1";"fmt";"io";"net";"os";"sync";"sync/atomic";"time")
func serve(l net.Listener, served *int64) { for { c,e:=l.Accept(); if e!=nil {return}; go func(){ n,_:=io.Copy(c,c); atomic.AddInt64(served,n); c.Close() }() } }
func ask(network,address string, i int) string { c,e:=net.Dial(network,address); if e!=nil {return e.Error()}; defer c.Close(); b:=make([]byte,i*257); for j:=range b {b[j]=byte(i*j)}
 go func(){ c.Write(b); c.(interface{CloseWrite() error}).CloseWrite() }(); r,e:=io.ReadAll(c); if e!=nil {return e.Error()}; if sha1.Sum(r)==sha1.Sum(b) {return "same"}; return "other" }
func main(){ var served int64; tcp,_:=net.Listen("tcp","127.0.0.1:0"); six,_:=net.Listen("tcp6","[::1]:0"); unix,_:=net.Listen("unix","e.sock")
 for _,l:=range []net.Listener{tcp,six,unix} { go serve(l,&served); said:=map[string]int{}; var m sync.Mutex; var w sync.WaitGroup; for i:=0;i<200;i++ { w.Add(1); go func(i int){ defer w.Done(); s:=ask(l.Addr().Network(),l.Addr().String(),i); m.Lock(); said[s]++; m.Unlock() }(i) }; w.Wait(); fmt.Println(said) }
 for atomic.LoadInt64(&served)<3*257*199*100 { time.Sleep(time.Millisecond) }; fmt.Println(served)
 u,_:=net.ListenPacket("udp","127.0.0.1:0"); go func(){ b:=make([]byte,100); for { n,a,e:=u.ReadFrom(b); if e!=nil {return}; u.WriteTo(b[:n],a) } }(); d,_:=net.Dial("udp",u.LocalAddr().String()); for i:=0;i<100;i++ { fmt.Fprintf(d,"%d",i); b:=make([]byte,9); n,_:=d.Read(b); if string(b[:n])!=fmt.Sprint(i) {fmt.Println("lost")} }
 c,_:=net.Dial("tcp",tcp.Addr().String()); c.SetReadDeadline(time.Now().Add(50*time.Millisecond)); _,e:=bufio.NewReader(c).ReadByte(); fmt.Println(e.(net.Error).Timeout(),os.IsTimeout(e)); c.(*net.TCPConn).SetLinger(0); c.Close()
 tcp.Close(); _,e=net.Dial("tcp",tcp.Addr().String()); fmt.Println(e.(*net.OpError).Err); _,e=net.Listen("tcp",six.Addr().String()); fmt.Println(e.(*net.OpError).Err)
 f,_:=net.Interfaces(); fmt.Println(f[0].Name,f[0].Flags); h,e:=net.LookupHost("localhost"); fmt.Println(len(h)>0,e) }
X
/usr/lib/go-1.19/bin/go build -o a a.go && ./a
