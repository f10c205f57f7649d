import pytest
import requests
from hypothesis import assume, example, given
from hypothesis import strategies as st

from curate.download.web import urls


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("http://example.com/a.jpg", "http://example.com/a.jpg"),
        ("  http://example.com/a.jpg\t", "http://example.com/a.jpg"),
        ("HTTP://EXAMPLE.com/A.jpg", "http://example.com/A.jpg"),
        ("http://example.com", "http://example.com/"),
        ("http://example.com?a=1", "http://example.com/?a=1"),
        ("http://example.com:80/a", "http://example.com/a"),
        ("https://example.com:443/a", "https://example.com/a"),
        ("http://example.com:443/a", "http://example.com:443/a"),
        ("http://example.com:/a", "http://example.com/a"),
        ("http://example.com:08080/a", "http://example.com:8080/a"),
        ("http://example.com/a.jpg#top", "http://example.com/a.jpg"),
        ("http://example.com/a b (1).jpg", "http://example.com/a%20b%20(1).jpg"),
        ("http://example.com/a%20b.jpg", "http://example.com/a%20b.jpg"),
        ("http://example.com/a%20b c.jpg", "http://example.com/a%20b%20c.jpg"),
        ("http://example.com/%e2%82%ac.jpg", "http://example.com/%E2%82%AC.jpg"),
        ("http://example.com/%7Eanna.jpg", "http://example.com/~anna.jpg"),
        ("http://example.com/50%.jpg", "http://example.com/50%25.jpg"),
        ("http://example.com/50% of%20it.jpg", "http://example.com/50%25%20of%20it.jpg"),
        ("http://example.com/pose-é.jpg?t=ü", "http://example.com/pose-%C3%A9.jpg?t=%C3%BC"),
        ("http://bücher.example/a.jpg", "http://xn--bcher-kva.example/a.jpg"),
        ("http://BÜCHER.example/a.jpg", "http://xn--bcher-kva.example/a.jpg"),
        ("http://example.com/a/../b/./c.jpg", "http://example.com/b/c.jpg"),
        ("http://example.com/a/%2e%2e/c.jpg", "http://example.com/c.jpg"),
        ("http://example.com/a,b;c.jpg?x=1,2&amp;y=3", "http://example.com/a,b;c.jpg?x=1,2&amp;y=3"),
        ("http://example.com/a?u=http://b@c/d", "http://example.com/a?u=http://b@c/d"),
        ("http://example.com//a//b.jpg", "http://example.com//a//b.jpg"),
        (r"http://example.com/a\b.jpg", "http://example.com/a%5Cb.jpg"),  # a browser would ask for a/b.jpg
        ("http://my_host.example.com/a.jpg", "http://my_host.example.com/a.jpg"),
        ("http://[2001:DB8::1]:8080/a.jpg", "http://[2001:db8::1]:8080/a.jpg"),
        ("http://127.0.0.1/a.jpg", "http://127.0.0.1/a.jpg"),  # which addresses may be asked is settled elsewhere
    ],
)
def test_a_link_is_written_as_it_is_asked_for(text: str, expected: str) -> None:
    assert urls.normal(text) == expected


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "does not begin with http:// or https://"),
        ("ftp://example.com/a.jpg", "does not begin with http:// or https://"),
        ("file:///etc/passwd", "does not begin with http:// or https://"),
        ("data:image/png;base64,AAAA", "does not begin with http:// or https://"),
        ("//example.com/a.jpg", "does not begin with http:// or https://"),
        ("www.example.com/a.jpg", "does not begin with http:// or https://"),
        ("htt", "does not begin with http:// or https://"),
        ("http://", "has no host"),
        ("http:///a.jpg", "has no host"),
        ("http:/example.com/a.jpg", "has no host"),
        (r"http:\\example.com\a.jpg", "has no host"),
        ("http://:80/a.jpg", "has no host"),
        ("http://?a", "has no host"),
        ("http://anna:secret@example.com/a.jpg", "holds a user name and password"),
        (r"http://example.com\@evil.example/a.jpg", "holds a user name and password"),
        (r"http://example.com\evil/a.jpg", "has a bad host or port"),
        ("http://exa mple.com/a.jpg", "has a host that is no host name"),
        ("http://exa%6dple.com/a.jpg", "has a bad host or port"),
        ("http://example..com/a.jpg", "has a host that is no host name"),
        ("http://example。com/a.jpg", "has a host that is no host name"),  # a full stop, in Chinese
        ("http://.example.com/a.jpg", "has a host that is no host name"),
        ("http://*.example.com/a.jpg", "has a host that is no host name"),
        ("http://" + "a" * 64 + ".com/", "has a host that is no host name"),
        ("http://" + "a." * 127 + "com/", "has a host that is no host name"),
        ("http://[::1/a.jpg", "has a bad host or port"),
        ("http://[fe80::1%25eth0]/a.jpg", "has a bad host or port"),
        ("http://[example.com]/a.jpg", "has a host that is no host name"),
        ("http://example.com:0/a.jpg", "has a bad port"),
        ("http://example.com:65536/a.jpg", "has a bad port"),
        ("http://example.com:" + "9" * 5000 + "/a.jpg", "has a bad port"),
        ("http://example.com:http/a.jpg", "has a bad host or port"),
        ("http://example.com/a\tb.jpg", "holds a control character"),
        ("http://example.com/a\r\nHost: b", "holds a control character"),
        ("http://example.com/\ud800.jpg", "holds a character that is no text"),
        ("http://example.com/" + "a" * 8000, "is longer than 8000 characters"),
        ("http://example.com/" + "é" * 4000, "is longer than 8000 characters"),  # once it is encoded
    ],
)
def test_a_link_that_must_not_be_asked_is_refused_with_a_reason(text: str, reason: str) -> None:
    with pytest.raises(ValueError) as refused:
        urls.normal(text)
    assert str(refused.value) == reason


def test_the_longest_link_is_asked() -> None:
    url = "http://example.com/".ljust(urls.LONGEST, "a")
    assert urls.normal(url) == url


_RESTS = st.text(st.sampled_from("ab/.%20eE2ü?#&=;,()'\\[]|~ :@+ж"), max_size=20) | st.text(max_size=20)
_AUTHORITIES = st.sampled_from(["x.org", "X.org:80", "x.org:81", "bücher.de", "a.b.c", "[::1]", "127.0.0.1"])
_LINKS = st.builds("{}://{}{}{}".format, st.sampled_from(["http", "HTTPS"]), _AUTHORITIES, st.just("/"), _RESTS)


@pytest.mark.slow
@given(_LINKS | st.text() | st.builds("http://{}/a".format, st.text()))
@example("http://x.org/%2%35")
@example("http://x.org/%%32e/")
@example("http://x.org/a/%2e%2e/b")
def test_a_normal_form_is_its_own_and_what_requests_sends(text: str) -> None:
    try:
        url = urls.normal(text)
    except ValueError:
        assume(False)
    assert urls.normal(url) == url
    assert requests.Request("GET", url).prepare().url == url
    assert url.isascii() and not set(url) & set(' \\#<>"{}|^`')


@given(_RESTS)
@example("a/../b")
@example("..")
@example(".?")
@example("a?")
def test_the_short_way_for_plain_links_gives_what_the_long_way_gives(rest: str) -> None:
    rest = "".join(c for c in rest if c.isprintable())
    # A port keeps a link from the short way.
    try:
        long = urls.normal(f"http://x.org:81/{rest}")
    except ValueError:
        assume(False)
    assert urls.normal(f"http://x.org/{rest}") == long.replace(":81", "")


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://example.com/a", "example.com"),
        ("http://example.com:8080/a", "example.com:8080"),
        ("https://example.com:80/a", "example.com:80"),
        ("http://[2001:db8::1]/a", "[2001:db8::1]"),
        ("http://[2001:db8::1]:81/a", "[2001:db8::1]:81"),
    ],
)
def test_a_host_has_its_port_where_that_is_not_the_usual_one(url: str, expected: str) -> None:
    assert urls.host(url) == expected


@pytest.mark.parametrize(
    ("hosts", "expected"),
    [  # all of them from Yoga-82's lists
        (["thumb1.shutterstock.com", "thumb9.shutterstock.com", "thumb101.shutterstock.com"], "thumb.shutterstock.com"),
        (["c7.alamy.com", "c8.alamy.com"], "c.alamy.com"),
        (["1.bp.blogspot.com", "4.bp.blogspot.com"], "bp.blogspot.com"),
        (["i0.wp.com", "i1.wp.com", "i2.wp.com"], "i.wp.com"),
        (["static1.squarespace.com", "static.squarespace.com"], "static.squarespace.com"),
        (["78.media.tumblr.com", "media.tumblr.com"], "media.tumblr.com"),
        (["res-1.cloudinary.com", "res-5.cloudinary.com", "res.cloudinary.com"], "res.cloudinary.com"),
        (["farm1.static.flickr.com", "farm9.static.flickr.com"], "farm.static.flickr.com"),
        (["i98.photobucket.com", "i1248.photobucket.com"], "i.photobucket.com"),
        (["s3-media2.fl.yelpcdn.com", "s3-media4.fl.yelpcdn.com"], "s-media.fl.yelpcdn.com"),
        (["images.cdn1.stockunlimited.net", "images.cdn4.stockunlimited.net"], "images.cdn.stockunlimited.net"),
        (["www.yogajournal.com", "yogajournal.com", "www2.yogajournal.com", "yogajournal.com."], "yogajournal.com"),
        (["us.123rf.com"], "us.123rf.com"),
        (["www.123rf.com"], "123rf.com"),
    ],
)
def test_the_shards_of_a_site_are_one(hosts: list[str], expected: str) -> None:
    assert {urls.site(host) for host in hosts} == {expected}


def test_different_sites_and_ports_and_addresses_are_never_one() -> None:
    hosts = [
        "123rf.com",
        "456rf.com",
        "a.example.com",
        "b.example.com",
        "example.com",
        "example.com:8080",
        "example.com:8081",
        "127.0.1.1",
        "127.0.2.1",
        "127.0.2.1:8080",
        "127.0.2.1:8081",
        "[2001:db8::1]",
        "[2001:db8::2]",
        "[2001:db8::2]:8080",
        "www.com",
        "localhost",
        "localhost:8000",
    ]
    assert len({urls.site(host) for host in hosts}) == len(hosts)


def test_a_shard_keeps_its_port() -> None:
    assert urls.site("thumb2.example.com:8080") == "thumb.example.com:8080"


@given(st.from_regex(r"[a-z0-9_-]{1,8}(\.[a-z0-9_-]{1,8}){0,4}(:[1-9][0-9]{0,3})?", fullmatch=True))
def test_a_site_is_its_own_site(host: str) -> None:
    assert urls.site(urls.site(host)) == urls.site(host)


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("Pose.JPG", "pose"),
        ("a/b/pose-300x200.jpg", "pose"),
        ("pose_640.jpg", "pose"),
        ("pose_1280.jpg", "pose"),
        ("pose@2x.png", "pose"),
        ("pose-1024x768@2x.png", "pose"),
        ("tree%20pose.jpg?w=300", "tree pose"),
        ("IMG_2857.JPG", "img_2857"),
        ("2-45.jpg", "2-45"),
        ("pose", "pose"),
        ("pose.jpg_1024", "pose"),
        ("a/", ""),
        ("", ""),
    ],
)
def test_a_file_name_is_free_of_extension_and_size(path: str, expected: str) -> None:
    assert urls.filename(f"http://example.com/{path}") == expected
