//! The history as a table for spreadsheets: RFC 4180, page after page as they are read, a bounded number of rows.
//!
//! Texts come from callers. A cell that a spreadsheet would take for a formula gets an apostrophe before it.

use std::convert::Into;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use axum::body::Body;
use axum::extract::{Extension, Request, State};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::{HeaderValue, header};
use http_body::Frame;

use super::input::Parameters;
use super::purges::{ListParameters, filter};
use super::records::{PurgeShown, RowShown};
use super::routes::Connection;
use super::{Admin, AdminError, ErrorBody};
use crate::config::Scope;
use crate::limits;
use crate::purge::{Filter, Page, Purger, Unreadable};

const HEAD: &str = "created_at,id,kind,account,status,mode,targets,note,door,by,matched,bytes,shared,visible_us,\
                    acknowledged_us,swept_us,change\r\n";

/// The history as a table
///
/// CSV (RFC 4180), newest first, from the cursor on to the end, 100 000 rows at most. The targets of a purge stand in one
/// cell, one a line. A cell that a spreadsheet would take for a formula begins with an apostrophe.
#[utoipa::path(
    get, path = "/v1/purges.csv", tag = "purges", operation_id = "exportPurges", params(ListParameters),
    responses(
        (status = 200, description = "The table.", body = String, content_type = "text/csv"),
        (status = 400, description = "A parameter can't be taken.", body = ErrorBody),
    ),
)]
pub(super) async fn export(
    State(admin): State<Arc<Admin>>,
    Extension(connection): Extension<Connection>,
    req: Request,
) -> Result<Response, AdminError> {
    let caller = admin.principal(&req, connection)?;
    caller.require(Scope::Read)?;
    let mut filter = filter(&Parameters::of(req.uri()), &caller)?;
    filter.limit = limits::LIST_ROWS_MAX;
    // The first page before the answer begins: a ledger that can't be read is told as such.
    let first = admin.purger.list(filter.clone()).await.map_err(|_| AdminError::LedgerUnreadable)?;
    let mut table =
        Table { purger: admin.purger.clone(), filter, asked: None, rows_left: limits::CSV_ROWS_MAX };
    let mut start = HEAD.to_owned();
    table.write(first, &mut start);
    let mut res = Body::new(Started(Some(start.into()), table)).into_response();
    let fields = res.headers_mut();
    fields.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/csv; charset=utf-8; header=present"));
    fields
        .insert(header::CONTENT_DISPOSITION, HeaderValue::from_static("attachment; filename=\"purges.csv\""));
    fields.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    fields.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    Ok(res)
}

type Asked = Pin<Box<dyn Future<Output = Result<Page, Unreadable>> + Send>>;

/// What follows the first page.
struct Table {
    purger: Purger,
    filter: Filter,
    /// The next page, while it is read; nothing at the end.
    asked: Option<Asked>,
    rows_left: usize,
}

impl Table {
    /// Writes a page, and asks for the one after it.
    fn write(&mut self, page: Page, out: &mut String) {
        for record in page.records.iter().take(self.rows_left) {
            write_row(&RowShown::of(record), out);
        }
        self.rows_left = self.rows_left.saturating_sub(page.records.len());
        self.filter.cursor = page.next;
        let goes_on = page.next.is_some() && self.rows_left > 0;
        self.asked = goes_on.then(|| {
            let (purger, filter) = (self.purger.clone(), self.filter.clone());
            Box::pin(async move { purger.list(filter).await }) as Asked
        });
    }
}

/// The table's bytes: its start, and a page at a time as the client takes them. A ledger that can't be read any more breaks
/// the answer off.
struct Started(Option<Bytes>, Table);

impl http_body::Body for Started {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, std::io::Error>>> {
        if let Some(start) = self.0.take() {
            return Poll::Ready(Some(Ok(Frame::data(start))));
        }
        let Some(asked) = self.1.asked.as_mut() else { return Poll::Ready(None) };
        let Ok(page) = ready!(asked.as_mut().poll(context)) else {
            self.1.asked = None;
            return Poll::Ready(Some(Err(std::io::Error::other("the ledger can't be read"))));
        };
        let mut rows = String::new();
        self.1.write(page, &mut rows);
        Poll::Ready(Some(Ok(Frame::data(rows.into()))))
    }
}

fn write_row(row: &RowShown, out: &mut String) {
    let number = |number: Option<u64>| number.map(|number| number.to_string()).unwrap_or_default();
    let cells: [String; 17] = match row {
        RowShown::Purge(purge) => {
            let PurgeShown { visible_us, acknowledged_us, swept_us, .. } = *purge;
            let targets: Vec<_> =
                purge.targets.iter().map(|target| format!("{} {}", target.target, target.text)).collect();
            [
                purge.created_at.clone(),
                purge.id.clone(),
                purge.kind.into(),
                purge.account.as_deref().unwrap_or_default().into(),
                purge.status.into(),
                purge.mode.into(),
                targets.join("\n"),
                purge.note.as_deref().unwrap_or_default().into(),
                purge.door.into(),
                purge.by.as_ref().into(),
                purge.matched.to_string(),
                purge.bytes.to_string(),
                purge.shared.to_string(),
                number(visible_us),
                number(acknowledged_us),
                number(swept_us),
                String::new(),
            ]
        }
        RowShown::Change(change) => {
            let mut cells: [String; 17] = Default::default();
            cells[0] = change.created_at.clone();
            cells[1] = change.id.clone();
            cells[2] = change.kind.into();
            cells[3] = change.account.as_deref().unwrap_or_default().into();
            cells[7] = change.note.as_deref().unwrap_or_default().into();
            cells[8] = change.door.into();
            cells[9] = change.by.as_ref().into();
            cells[16] = change.change.as_ref().into();
            cells
        }
    };
    for (at, cell) in cells.iter().enumerate() {
        if at > 0 {
            out.push(',');
        }
        write_cell(cell, out);
    }
    out.push_str("\r\n");
}

/// RFC 4180 §2.6 and 2.7; and nothing that a spreadsheet runs.
fn write_cell(text: &str, out: &mut String) {
    let is_formula = text.starts_with(|first: char| "=+-@".contains(first) || first.is_control());
    let is_quoted = text.contains(['"', ',', '\r', '\n']);
    if is_quoted {
        out.push('"');
    }
    if is_formula {
        out.push('\'');
    }
    out.push_str(&text.replace('"', "\"\""));
    if is_quoted {
        out.push('"');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_is_quoted_where_it_must_be_and_runs_nowhere() {
        #[rustfmt::skip]
        let table = [
            ("",                      ""),
            ("new logo",              "new logo"),
            ("a,b",                   "\"a,b\""),
            ("say \"hi\"",            "\"say \"\"hi\"\"\""),
            ("two\nlines",            "\"two\nlines\""),
            ("=1+1",                  "'=1+1"),
            ("+1",                    "'+1"),
            ("-1",                    "'-1"),
            ("@x",                    "'@x"),
            ("\tx",                   "'\tx"),
            ("\r=1",                  "\"'\r=1\""),
            ("=HYPERLINK(\"x\",1)",   "\"'=HYPERLINK(\"\"x\"\",1)\""),
            ("a=1",                   "a=1"),
        ];
        for (text, expected) in table {
            let mut cell = String::new();
            write_cell(text, &mut cell);
            assert_eq!(cell, expected, "{text:?}");
        }
    }
}
