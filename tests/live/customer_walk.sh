# One customer from nothing, in namespaces of their own: the samples of deploy/drop-servers where they belong, not a letter changed.
# Run by test_customer.py as root: sh customer_walk.sh SAMPLES. What it writes to standard output is what the test looks at.
set -eu
samples=$1
work=/tmp/walk
mkdir -p $work
mount -t tmpfs walk $work
mkdir $work/upper $work/scratch
mount -t overlay walk -o lowerdir=/etc,upperdir=$work/upper,workdir=$work/scratch /etc
mountpoint -q /etc || { echo "this is the machine's own /etc" >&2; exit 99; }
for place in /srv /run /var/log; do mount -t tmpfs -o mode=755 walk $place; done
ip link set lo up
mkdir -p /srv/drop /run/sshd /run/vsftpd/empty $work/client
cd $work/client

cp "$samples/sshd-drop.conf" /etc/ssh/sshd_config.d/s3batch-drop.conf
cp "$samples/rsyslog-sftp.conf" /etc/rsyslog.d/s3batch-sftp.conf
cp "$samples/vsftpd.conf" /etc/vsftpd.conf
cp "$samples/pam-vsftpd" /etc/pam.d/vsftpd
cp "$samples/vsftpd-openssl.cnf" /etc/ssl/vsftpd-openssl.cnf
openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=drop -keyout /etc/ssl/private/ssl-cert-snakeoil.key \
    -out /etc/ssl/certs/ssl-cert-snakeoil.pem 2>/dev/null
ssh-keygen -q -t ed25519 -N '' -f $work/key
ssh-keygen -A >/dev/null

{
    "$samples/customer.sh" add ann --bucket archive --folder ann/in --key $work/key.pub
    "$samples/customer.sh" add ben --bucket archive --folder ben --key $work/key.pub
    "$samples/customer.sh" add ann --bucket archive --folder ann/in --key $work/key.pub # once more changes nothing
} >&2
printf '%s\n' ann:secret-of-ann outsider:secret >$work/passwords
useradd --no-create-home outsider
chpasswd <$work/passwords

printf '%s\n' 'module(load="imuxsock" SysSock.Use="off")' 'include(file="/etc/rsyslog.d/s3batch-*.conf")' >/etc/rsyslog.conf
rsyslogd -n -i $work/rsyslog.pid >&2 &
/usr/sbin/sshd -t && /usr/sbin/sshd -D -e >&2 &
OPENSSL_CONF=/etc/ssl/vsftpd-openssl.cnf vsftpd /etc/vsftpd.conf >&2 &
for try in 1 2 3 4 5 6 7 8 9 10; do
    [ -S /srv/jail/ann/dev/log ] && [ "$(ss -Htln 'sport = 21 or sport = 22' | wc -l)" -ge 2 ] && break
    sleep 0.3
done

printf content >file
ssh_words="-i $work/key -o BatchMode=yes -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR"
ftps() { curl -sk --ssl-reqd --ftp-create-dirs "$@"; }
printf '%s\n' 'mkdir archive/new' 'put file archive/new/by-sftp' 'put file /etc-not-here' | sftp -b - $ssh_words ann@127.0.0.1 >&2 || true
ssh $ssh_words ann@127.0.0.1 id >/dev/null 2>&1 && echo "ann has a shell"
ftps -T file ftp://ann:secret-of-ann@127.0.0.1/archive/made/by-ftps || echo "no FTPS for ann: $?"
ftps -T file ftp://ann:wrong@127.0.0.1/archive/wrong 2>/dev/null && echo "a wrong password will do"
ftps -T file ftp://outsider:secret@127.0.0.1/archive/outsider 2>/dev/null && echo "outsiders may come"

(cd /srv/drop && find . ! -type l -printf '%M %g %p\n' | sort -k3)
sleep 0.5
echo "log: $(grep -c 'close "/archive/new/by-sftp" bytes read 0 written 7' /var/log/s3batch-sftp.log)" \
    "$(grep -c 'OK UPLOAD' /var/log/vsftpd.log)"

"$samples/customer.sh" remove ann >&2
id ann >/dev/null 2>&1 && echo "ann is still there"
[ -e /srv/jail/ann ] && echo "the jail is still there"
grep -c ann /etc/fstab || true
cat /srv/drop/archive/ann/in/new/by-sftp
echo
