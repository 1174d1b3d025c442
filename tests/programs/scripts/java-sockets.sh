cat > S.java <<'X'
import java.io.*; import java.net.*; import java.nio.*; import java.nio.channels.*; import java.nio.charset.*; import java.nio.file.*; import java.util.*; import java.util.concurrent.*; import java.util.concurrent.atomic.*;
public class S {
  static final InetAddress LO = InetAddress.getLoopbackAddress();
  public static void main(String[] a) throws Exception {
    threads(); selector(); datagrams(); local(); processes(); errors();
    System.gc(); Runtime.getRuntime().addShutdownHook(new Thread(() -> System.out.println("hook")));
  }
  static void threads() throws Exception {
    try (ServerSocket server = new ServerSocket(0, 200, LO)) {
      ExecutorService pool = Executors.newFixedThreadPool(16), clients = Executors.newFixedThreadPool(16);
      Thread acceptor = new Thread(() -> { try { while (true) { Socket s = server.accept(); pool.submit(() -> { try (s) { s.getInputStream().transferTo(s.getOutputStream()); } return 0; }); } } catch (IOException e) { System.out.println(e.getMessage()); } });
      acceptor.start(); List<Future<Integer>> all = new ArrayList<>();
      for (int i = 0; i < 100; i++) { int n = i; all.add(clients.submit(() -> { try (Socket s = new Socket(LO, server.getLocalPort())) { s.setTcpNoDelay(true); byte[] b = new byte[n * 331]; Arrays.fill(b, (byte) n); new Thread(() -> { try { s.getOutputStream().write(b); s.shutdownOutput(); } catch (IOException e) {} }).start(); byte[] r = s.getInputStream().readAllBytes(); return Arrays.equals(b, r) ? r.length : -1; } })); }
      long sum = 0; for (Future<Integer> f : all) sum += f.get(); System.out.println(sum); server.close(); acceptor.join(); pool.shutdown(); clients.shutdown();
    }
  }
  static void selector() throws Exception {
    Selector sel = Selector.open(); ServerSocketChannel server = ServerSocketChannel.open().bind(new InetSocketAddress(LO, 0), 200); server.configureBlocking(false); server.register(sel, SelectionKey.OP_ACCEPT);
    List<SocketChannel> clients = new ArrayList<>(); for (int i = 0; i < 50; i++) { SocketChannel c = SocketChannel.open(server.getLocalAddress()); c.write(ByteBuffer.wrap(("m" + i).getBytes())); clients.add(c); }
    int served = 0; while (served < 50) { sel.select(5000); for (Iterator<SelectionKey> it = sel.selectedKeys().iterator(); it.hasNext();) { SelectionKey k = it.next(); it.remove(); if (k.isAcceptable()) { SocketChannel s; while ((s = server.accept()) != null) { s.configureBlocking(false); s.register(sel, SelectionKey.OP_READ); } } else { ByteBuffer b = ByteBuffer.allocate(64); ((SocketChannel) k.channel()).read(b); ((SocketChannel) k.channel()).write(b.flip()); served++; } } }
    Set<String> heard = new TreeSet<>(); for (SocketChannel c : clients) { ByteBuffer b = ByteBuffer.allocate(64); c.read(b); heard.add(StandardCharsets.UTF_8.decode(b.flip()).toString()); c.close(); }
    System.out.println(heard.size() + " " + heard.contains("m49"));
    CompletableFuture.runAsync(() -> { try { Thread.sleep(100); } catch (InterruptedException e) {} sel.wakeup(); }); for (SelectionKey k : sel.keys()) k.cancel(); System.out.println(sel.select()); sel.close(); server.close();
  }
  static void datagrams() throws Exception {
    try (DatagramSocket one = new DatagramSocket(0, LO); DatagramSocket two = new DatagramSocket(0, LO)) {
      one.send(new DatagramPacket("dg".getBytes(), 2, LO, two.getLocalPort())); DatagramPacket p = new DatagramPacket(new byte[9], 9); two.receive(p); System.out.println(new String(p.getData(), 0, p.getLength()) + " " + (p.getPort() == one.getLocalPort()));
      two.setSoTimeout(50); try { two.receive(p); } catch (SocketTimeoutException e) { System.out.println(e.getMessage()); }
    }
  }
  static void local() throws Exception {
    UnixDomainSocketAddress at = UnixDomainSocketAddress.of("j.sock"); try (ServerSocketChannel server = ServerSocketChannel.open(StandardProtocolFamily.UNIX).bind(at); SocketChannel c = SocketChannel.open(at); SocketChannel s = server.accept()) { c.write(ByteBuffer.wrap("ux".getBytes())); ByteBuffer b = ByteBuffer.allocate(9); s.read(b); System.out.println(StandardCharsets.UTF_8.decode(b.flip())); } Files.delete(at.getPath());
  }
  static void processes() throws Exception {
    Process p = new ProcessBuilder("sh", "-c", "cat; exit 3").start(); p.getOutputStream().write("child\n".getBytes()); p.getOutputStream().close(); System.out.print(new String(p.getInputStream().readAllBytes())); System.out.println(p.waitFor());
  }
  static void errors() throws Exception {
    int port; try (ServerSocket s = new ServerSocket(0, 1, LO)) { port = s.getLocalPort(); try { new ServerSocket(port, 1, LO); } catch (BindException e) { System.out.println(e.getMessage()); } }
    try { new Socket(LO, port); } catch (ConnectException e) { System.out.println(e.getMessage()); }
    try (ServerSocket s = new ServerSocket(0, 1, LO); Socket c = new Socket(LO, s.getLocalPort()); Socket t = s.accept()) { t.setSoLinger(true, 0); t.close(); c.getInputStream().read(); } catch (SocketException e) { System.out.println(e.getMessage()); }
  }
}
X
java -Xmx256m S.java
