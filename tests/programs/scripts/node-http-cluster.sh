cat > s.js <<'X'
const http=require("http"),net=require("net"),cluster=require("cluster"),dgram=require("dgram"),fs=require("fs"),{fork,exec}=require("child_process"),{Worker}=require("worker_threads");
const get=(port,path,agent)=>new Promise((yes,no)=>http.get({port,host:"127.0.0.1",path,agent},r=>{let s="";r.on("data",d=>s+=d).on("end",()=>yes(s))}).on("error",no));
if(process.argv[2]=="child"){ // Gets a connection from its parent.
  process.on("message",(m,socket)=>{socket.end("from child "+m);process.disconnect()});
}else if(!cluster.isPrimary){
  http.createServer((q,r)=>r.end("worker "+q.url)).listen(0,"127.0.0.1");
  process.on("message",()=>process.exit(3));
}else (async()=>{
  const agent=new http.Agent({keepAlive:true,maxSockets:4}); let sockets=new Set();
  const server=http.createServer((q,r)=>{sockets.add(q.socket);let n=0;q.on("data",d=>n+=d.length).on("end",()=>r.end(q.method+" "+q.url+" "+n))}).listen(0,"127.0.0.1",200);
  await new Promise(y=>server.on("listening",y)); const port=server.address().port;
  const all=await Promise.all([...Array(200).keys()].map(i=>get(port,"/"+i,agent))); console.log(all.length,new Set(all).size,all[199],sockets.size);
  console.log(await new Promise(y=>{const q=http.request({port,host:"127.0.0.1",method:"POST",path:"/post",agent},r=>r.on("data",d=>y(""+d)));for(let i=0;i<100;i++)q.write(Buffer.alloc(10007));q.end()}));
  const passing=net.createServer({pauseOnConnect:true},s=>{const c=fork(__filename,["child"]);c.send("7",s)}).listen("p.sock");
  console.log(await new Promise(y=>{let s="";net.connect("p.sock").on("data",d=>s+=d).on("end",()=>y(s))})); passing.close();
  const workers=[cluster.fork(),cluster.fork()]; const ports=await Promise.all(workers.map(w=>new Promise(y=>w.on("listening",a=>y(a.port)))));
  console.log(ports[0]==ports[1],new Set(await Promise.all([...Array(40).keys()].map(i=>get(ports[0],"/w")))));
  workers.forEach(w=>w.send("end")); console.log(await Promise.all(workers.map(w=>new Promise(y=>w.on("exit",c=>y(c))))));
  console.log(await new Promise(y=>exec("cat; echo err >&2; exit 5",(e,o,r)=>y([e.code,o,r])).stdin.end("to cat")));
  const u=dgram.createSocket("udp4"); console.log(await new Promise(y=>{u.on("message",(m,r)=>y([""+m,r.address,r.port==u.address().port]));u.bind(0,"127.0.0.1",()=>u.send("datagram",u.address().port,"127.0.0.1"))})); u.close();
  console.log(await new Promise(y=>{const w=new Worker('const p=require("worker_threads").parentPort;p.on("message",m=>{p.postMessage(m*2);p.close()})',{eval:true});w.on("message",y);w.postMessage(21)}));
  const gone=net.connect(port,"127.0.0.1"); await new Promise(y=>gone.on("connect",y)); server.close(); agent.destroy(); server.closeAllConnections(); console.log(await new Promise(y=>gone.on("close",y)));
  console.log(await get(port,"/").catch(e=>e.code));
})();
X
node s.js
