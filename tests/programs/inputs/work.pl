use strict; use warnings; use POSIX qw(floor strftime); use List::Util qw(sum shuffle); use Digest::SHA qw(sha256_hex); use Time::HiRes qw(usleep time);
my %h; open my $f, '<', 'text.txt' or die; while (<$f>) { $h{lc $_}++ for /\w+/g } close $f;
print join(' ', map { "$_=$h{$_}" } (sort { $h{$b} <=> $h{$a} || $a cmp $b } keys %h)[0..5]), "\n";
print sum(1..1000), ' ', floor(-2.5), ' ', strftime('%Y-%m-%d', gmtime 86400*365), ' ', sha256_hex('abc'), "\n";
local $SIG{ALRM} = sub { die "alarm\n" }; eval { alarm 1; select undef, undef, undef, 5; 1 } or print "died: $@"; alarm 0;
local $SIG{USR1} = sub { print "usr1\n" }; kill 'USR1', $$;
open my $o, '>', 'out' or die; printf $o "%05d|%-6s|%.4f\n", $_, 'x' x $_, sqrt $_ for 1..5; close $o; open $f, '<', 'out'; print <$f>; print -s 'out', ' ', (-e 'nope' ? 1 : 0), ' ', (stat 'out')[7], "\n";
opendir my $d, 'tree' or die; print join(',', sort grep { !/^\./ } readdir $d), "\n"; mkdir 'dd' or die; rename 'out', 'dd/out'; unlink 'dd/out'; rmdir 'dd' or die; print "$!\n" unless rmdir 'tree';
my $s = 'a1b22c333'; (my $t = $s) =~ s/(\d+)/<$1>/g; print "$t ", scalar reverse($s), "\n"; print "ok\n" if time > 1e9; exit 7;
