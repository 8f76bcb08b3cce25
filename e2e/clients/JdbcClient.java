import java.io.StringReader;
import java.io.StringWriter;
import java.sql.BatchUpdateException;
import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import java.util.Properties;
import org.postgresql.PGConnection;
import org.postgresql.largeobject.LargeObject;
import org.postgresql.largeobject.LargeObjectManager;

/** The JDBC driver as a client: prints one line for each thing that it does. Arguments: URL user cert key(PKCS #8, DER) ca. */
public class JdbcClient {
  public static void main(String[] arguments) throws Exception {
    Properties properties = new Properties();
    properties.setProperty("user", arguments[1]);
    properties.setProperty("sslmode", "verify-full");
    properties.setProperty("sslcert", arguments[2]);
    properties.setProperty("sslkey", arguments[3]);
    properties.setProperty("sslrootcert", arguments[4]);
    try (Connection connection = DriverManager.getConnection(arguments[0], properties)) {
      prepare(connection);
      write(connection);
      rollBack(connection);
      fetch(connection);
      copy(connection);
      largeObject(connection);
      notify(connection);
      cancel(connection);
    }
  }

  /** Beyond five executions the driver names its statement, and sends its text no more. */
  static void prepare(Connection connection) throws SQLException {
    try (PreparedStatement statement = connection.prepareStatement("select ? || '!'")) {
      String last = "";
      for (int round = 0; round < 8; round++) {
        statement.setString(1, "round " + round);
        last = one(statement.executeQuery());
      }
      say("prepared", last);
    }
  }

  static void write(Connection connection) throws SQLException {
    try (Statement statement = connection.createStatement()) {
      statement.execute("drop table if exists jdbc_items; create table jdbc_items (id int primary key, name text)");
    }
    try (PreparedStatement insert = connection.prepareStatement("insert into jdbc_items values (?, ?)")) {
      for (int id = 0; id < 500; id++) {
        insert.setInt(1, id);
        insert.setString(2, "name " + id);
        insert.addBatch();
      }
      say("batch", insert.executeBatch().length);
      insert.setInt(1, 500);
      insert.setString(2, "new");
      insert.addBatch();
      insert.setInt(1, 0);
      insert.setString(2, "there already");
      insert.addBatch();
      insert.executeBatch();
    } catch (BatchUpdateException refused) {
      say("refused", refused.getSQLState());
    }
  }

  static void rollBack(Connection connection) throws SQLException {
    connection.setAutoCommit(false);
    try (Statement statement = connection.createStatement()) {
      statement.executeUpdate("delete from jdbc_items where id < 100");
      var kept = connection.setSavepoint();
      try {
        statement.executeUpdate("delete from nothing_such");
      } catch (SQLException unknown) {
        connection.rollback(kept);
      }
      say("in transaction", one(statement.executeQuery("select count(*) from jdbc_items")));
      connection.rollback();
      say("rolled back", one(statement.executeQuery("select count(*) from jdbc_items")));
    }
  }

  /** Rows by portions: a portal that is executed again and again. */
  static void fetch(Connection connection) throws SQLException {
    try (Statement statement = connection.createStatement()) {
      statement.setFetchSize(50);
      long total = 0;
      try (ResultSet rows = statement.executeQuery("select id from jdbc_items where id < 500")) {
        while (rows.next()) total += rows.getInt(1);
      }
      say("fetched", total);
    }
    connection.commit();
    connection.setAutoCommit(true);
  }

  static void copy(Connection connection) throws Exception {
    var copies = connection.unwrap(PGConnection.class).getCopyAPI();
    StringBuilder lines = new StringBuilder();
    for (int id = 1000; id < 3000; id++) lines.append(id).append("\tcopied\n");
    say("copy in", copies.copyIn("copy jdbc_items from stdin", new StringReader(lines.toString())));
    StringWriter out = new StringWriter();
    say("copy out", copies.copyOut("copy (select id from jdbc_items where id < 10) to stdout", out));
  }

  /** By fast-path calls. */
  static void largeObject(Connection connection) throws SQLException {
    connection.setAutoCommit(false);
    LargeObjectManager objects = connection.unwrap(PGConnection.class).getLargeObjectAPI();
    long id = objects.createLO();
    byte[] content = new byte[300_000];
    java.util.Arrays.fill(content, (byte) 7);
    try (LargeObject object = objects.open(id, LargeObjectManager.WRITE)) {
      object.write(content);
    }
    try (LargeObject object = objects.open(id, LargeObjectManager.READ)) {
      say("large object", object.read(400_000).length);
    }
    objects.delete(id);
    connection.commit();
    connection.setAutoCommit(true);
  }

  static void notify(Connection connection) throws SQLException {
    try (Statement statement = connection.createStatement()) {
      statement.execute("listen jdbc_news");
      statement.execute("notify jdbc_news, 'said'");
      say("listen", connection.unwrap(PGConnection.class).getNotifications(10_000)[0].getParameter());
    }
  }

  static void cancel(Connection connection) throws SQLException {
    try (Statement statement = connection.createStatement()) {
      statement.setQueryTimeout(1);
      try {
        statement.execute("select pg_sleep(60)");
      } catch (SQLException cancelled) {
        say("cancelled", cancelled.getSQLState());
      }
      statement.setQueryTimeout(0);
      say("still here", one(statement.executeQuery("select 1")));
    }
  }

  static String one(ResultSet rows) throws SQLException {
    rows.next();
    return rows.getString(1);
  }

  static void say(String what, Object result) {
    System.out.println(what + " " + result);
  }
}
