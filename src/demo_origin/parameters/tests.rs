//! What is read, how it prints, what is refused.

use super::*;

#[test]
fn ok_equal_transformations_print_alike() {
    #[rustfmt::skip]
    let table = [
        ("",                                    ""),
        ("w-300",                               "w-300"),
        ("h-200,w-300",                         "w-300,h-200"),
        ("w-0.50",                              "w-0.5"),
        ("w-1",                                 "w-1"),
        ("w-300,h-200,ar-4-3",                  "w-300,h-200"),
        ("w-300,ar-4-3",                        "w-300,ar-4-3"),
        ("w-300,h-200,c-maintain_ratio",        "w-300,h-200"),
        ("w-300,h-200,fo-center",               "w-300,h-200"),
        ("fo-top_left,c-force,h-2,w-3",         "w-3,h-2,c-force,fo-top_left"),
        ("cm-pad_resize,w-3,h-2,bg-a0b1c2",     "w-3,h-2,cm-pad_resize,bg-A0B1C2"),
        ("rt--90",                              "rt-270"),
        ("rt-360",                              ""),
        ("rt-37",                               "rt-37"),
        ("bl-10,e-grayscale",                   "bl-10,e-grayscale"),
        ("w-100,dpr-1.5",                       "w-100,dpr-1.5"),
        ("w-100,dpr-1",                         "w-100"),
        ("dpr-2,c-force,fo-top",                ""),
        ("w-400,h-300:rt-90",                   "w-400,h-300:rt-90"),
        ("rt-90:w-400,h-300",                   "rt-90:w-400,h-300"),
        ("w-300,q-50,f-jpeg",                   "w-300:q-50:f-jpg"),
        ("f-webp:w-300:f-avif",                 "w-300:f-avif"),
        ("f-auto",                              "f-auto"),
        ("n-thumb",                             "w-160,h-160:q-70"),
        ("n-placeholder:rt-90",                 "w-48:bl-4:rt-90:q-30:f-webp"),
    ];
    for (text, canonical) in table {
        let read = Transformation::parse(text).unwrap_or_else(|refusal| panic!("{text}: {refusal:?}"));
        assert_eq!(read.to_string(), canonical, "{text}");
        assert_eq!(Transformation::parse(canonical).unwrap(), read, "{text}: print, then parse");
    }
    for (name, text) in NAMED {
        assert_eq!(
            Transformation::parse(&format!("n-{name}")).unwrap(),
            Transformation::parse(text).unwrap()
        );
    }
}

#[test]
fn err_each_names_the_parameter_and_what_it_takes() {
    #[rustfmt::skip]
    let table = [
        ("w-0",               "`w` does not take the value `0`"),
        ("w-",                "`w` does not take the value ``"),
        ("w",                 "`w` does not take the value ``"),
        ("w-1.5",             "`w` does not take the value `1.5`"),
        ("w--3",              "`w` does not take the value `-3`"),
        ("w-1e3",             "`w` does not take the value `1e3`"),
        ("w-123456789",       "`w` does not take the value `123456789`"),
        ("h-nan",             "`h` does not take the value `nan`"),
        ("w-9,ar-4",          "`ar` does not take the value `4`"),
        ("w-9,ar-4-0",        "`ar` does not take the value `4-0`"),
        ("w-9,c-extract",     "`c` does not take the value `extract`"),
        ("w-9,cm-force",      "`cm` does not take the value `force`"),
        ("w-9,fo-middle",     "`fo` does not take the value `middle`"),
        ("bg-12345",          "`bg` does not take the value `12345`"),
        ("bg-+12345",         "`bg` does not take the value `+12345`"),
        ("q-0",               "`q` does not take the value `0`"),
        ("q-101",             "`q` does not take the value `101`"),
        ("q-+9",              "`q` does not take the value `+9`"),
        ("f-gif",             "`f` does not take the value `gif`"),
        ("rt-361",            "`rt` does not take the value `361`"),
        ("bl-0",              "`bl` does not take the value `0`"),
        ("e-sepia",           "`e` does not take the value `sepia`"),
        ("w-9,dpr-6",         "`dpr` does not take the value `6`"),
        ("n-nobody",          "`n` does not take the value `nobody`"),
        ("zoom-2",            "`zoom-2` is not a transformation parameter"),
        ("w-300,,h-2",        "`` is not a transformation parameter"),
        ("w-300:",            "`` is not a transformation parameter"),
        ("W-300",             "`W-300` is not a transformation parameter"),
        ("w-3,w-3",           "a parameter stands twice in one step"),
        ("w-3,c-force,cm-extract", "`c` and `cm` exclude each other"),
        ("w-3,n-thumb",       "`n` stands alone in its step"),
        ("ar-4-3",            "`ar` needs `w` or `h` beside it"),
        ("w-9:w-9:w-9:w-9:w-9:w-9:w-9:w-9:w-9", "it has too many steps"),
    ];
    for (text, expected) in table {
        let refusal = Transformation::parse(text).expect_err(text);
        assert!(refusal.message().contains(expected), "{text}: {}", refusal.message());
        assert!(refusal.help().len() > 15, "{text}");
    }
}
